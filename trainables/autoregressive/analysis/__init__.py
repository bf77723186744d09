"""Findings of a sweep of cost-sensitive training."""

from trainables.autoregressive.analysis.findings import findings

__all__ = ["findings"]
