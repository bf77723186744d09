"""Figures of a sweep: data in, a matplotlib figure out, None where there is nothing to draw."""
