"""Scenes with boxes and pictures of classes: from data sets, from users' files, or synthesised."""
