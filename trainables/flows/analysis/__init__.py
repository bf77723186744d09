"""Findings of a whole sweep of flows: tables, curves, samples."""
