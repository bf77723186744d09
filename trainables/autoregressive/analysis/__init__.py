"""What a sweep of cost-sensitive training has found."""

from trainables.autoregressive.analysis.findings import findings

__all__ = ["findings"]
