"""Writes and reads results: one folder per sweep, on a disk or in an object store. Nothing else writes results."""
