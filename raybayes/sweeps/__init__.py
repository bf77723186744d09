"""Whole sweeps: prepared, executed, confirmed, simulated, read."""
