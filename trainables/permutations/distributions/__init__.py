"""Distributions over orderings: Plackett-Luce, matchings, relaxed ones; and where their noise comes from."""
