"""Runs trials inside a worker process. Imports torch, never Ray."""
