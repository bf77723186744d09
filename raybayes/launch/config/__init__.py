"""Cluster files: what they may say, checked with file and line."""
