"""Trains runs inside a worker process. Imports torch, never Ray."""
