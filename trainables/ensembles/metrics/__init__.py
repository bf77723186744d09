"""Scores of predictive distributions, as pure functions of log-probabilities (n, classes) and targets (n,)."""
