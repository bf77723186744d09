"""The reference curve of deep ensembles, from one pool of independent networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan

import numpy as np
from numpy.typing import ArrayLike

from raybayes.errors import DataError
from trainables.ensembles.metrics.average import RunningAverage
from trainables.ensembles.metrics.protocol import SCORES, cross_validated


@dataclass(frozen=True)
class ReferenceCurve:
    """Mean and standard deviation of a score of deep ensembles over random orders of one pool.

    Args:
        mean: size -> mean over the orders, for every size up to the pool's.
        std: size -> standard deviation over the orders; nan above half the pool, where the orders share most networks,
            so that the spread goes to 0 by construction.
        pool: networks in the pool.
        orders: number of averaged random orders.
    """

    mean: dict[int, float]
    std: dict[int, float]
    pool: int
    orders: int


def reference_curve(
    pool: Sequence[ArrayLike],
    targets: ArrayLike,
    score: str = "ll",
    calibrated: bool = True,
    orders: int = 5,
    seed: int = 0,
) -> ReferenceCurve:
    """Scores of deep ensembles of every size up to the pool's.

    Args:
        pool: log-probabilities (n, classes) of independently trained networks.
        targets: (n,) classes.
        score: a key of `protocol.SCORES`.
        calibrated: with test-time cross-validated temperature scaling; with "ll" that is the CLL.
        orders: random orders of the pool (the paper: 5).
        seed: of the orders; the halves of cross-validation are the same for all.

    Raises:
        DataError: the pool is empty or the score unknown.
    """
    if not pool or score not in SCORES:
        known = ", ".join(SCORES)
        raise DataError(f"a curve needs networks and one of {known}; found {len(pool)} networks and {score!r}.")
    values = np.empty((orders, len(pool)))
    for row in range(orders):
        ensemble = RunningAverage()
        for column, network in enumerate(np.random.default_rng([seed, row]).permutation(len(pool))):
            ensemble.add(pool[network])
            result = cross_validated(ensemble.log_probabilities(), targets, {score: SCORES[score]})
            values[row, column] = (result.calibrated if calibrated else result.raw)[score]
    mean = {size + 1: float(value) for size, value in enumerate(values.mean(axis=0))}
    spread = values.std(axis=0, ddof=1) if orders > 1 else np.full(len(pool), nan)
    std = {size + 1: float(value) if 2 * (size + 1) <= len(pool) else nan for size, value in enumerate(spread)}
    return ReferenceCurve(mean, std, len(pool), orders)
