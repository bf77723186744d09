"""Choose the members of a hyper-deep ensemble from everything that a sweep has trained.

Source: Wenzel, Snoek, Tran, Jenatton, "Hyperparameter Ensembles for Robustness and Uncertainty Quantification",
NeurIPS 2020, arXiv 2006.13570; the greedy step is that of Caruana et al. 2004, with replacement.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from raybayes.errors import DataError
from trainables.ensembles.metrics.average import RunningAverage
from trainables.ensembles.metrics.protocol import cross_validated
from trainables.ensembles.metrics.scores import log_likelihood


def select_greedily(candidates: Sequence[ArrayLike], targets: ArrayLike, size: int, seed: int = 0) -> list[int]:
    """Grow an ensemble one member at a time, each time by the candidate with the best validation CLL.

    Args:
        candidates: log-probabilities (n, classes) each, on the validation objects.
        targets: (n,) classes.
        size: members of the ensemble; a candidate may be chosen more than once.
        seed: of test-time cross-validation.

    Returns:
        Indices of the chosen candidates, in the order of choice; the first is the best one alone. Ties go to the first.

    Raises:
        DataError: no candidate is given, or the size is below 1.
    """
    if not candidates or size < 1:
        raise DataError(f"selection needs candidates and a size of at least 1, found {len(candidates)} and {size}.")
    chosen: list[int] = []
    ensemble = RunningAverage()
    for _ in range(size):
        scores = [_with_one_more(ensemble, candidate, targets, seed) for candidate in candidates]
        best = int(np.argmax(scores))
        chosen.append(best)
        ensemble.add(candidates[best])
    return chosen


def _with_one_more(ensemble: RunningAverage, candidate: ArrayLike, targets: ArrayLike, seed: int) -> float:
    grown = RunningAverage(ensemble.total, ensemble.count)
    grown.add(candidate)
    return cross_validated(grown.log_probabilities(), targets, {"ll": log_likelihood}, seed=seed).calibrated["ll"]
