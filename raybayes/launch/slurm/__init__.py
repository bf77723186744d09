"""Slurm: its commands, its partitions, and the batch script."""
