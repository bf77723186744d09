"""The running average of an ensemble's members: every size K = 1, 2, ... in one pass over the members."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from trainables.ensembles.metrics.scores import Array


class RunningAverage:
    """p(y|x) = (1/K) sum_k p_k(y|x), kept as log sum_k p_k; probabilities are averaged, never logits.

    Args:
        total: (n, classes) log of the sum of the probabilities so far, or None at the start.
        count: members so far.
    """

    def __init__(self, total: Array | None = None, count: int = 0) -> None:
        self.total = total
        self.count = count

    def add(self, lp: ArrayLike) -> None:
        """Add one member's (n, classes) log-probabilities."""
        p = np.asarray(lp, np.float64)
        self.total = p if self.total is None else np.logaddexp(self.total, p)
        self.count += 1

    def log_probabilities(self) -> Array:
        """(n, classes) log-probabilities of the ensemble of the members so far.

        Raises:
            ValueError: there is no member yet.
        """
        if self.total is None:
            raise ValueError("the ensemble has no member yet; add one first")
        lp: Array = self.total - np.log(self.count)
        return lp
