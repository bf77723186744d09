"""Evaluation: average precision, the numbers of a report, and the stored tables."""
