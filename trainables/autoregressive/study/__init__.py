"""What a sweep of cost-sensitive training has found."""

from trainables.autoregressive.study.findings import findings

__all__ = ["findings"]
