"""Calibration errors: report them, but do not rank methods by them.

They are not proper scores (a constant prediction of the class frequencies has ECE 0), are biased upwards on few
objects, depend on the bins, and (ECE) consider the most probable class only.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from trainables.ensembles.metrics.scores import Array, Targets, checked


def ece(lp: ArrayLike, targets: ArrayLike, bins: int = 15) -> float:
    """Expected calibration error of the most probable class over equal-width bins, left-open, on (0, 1].

    sum_b |B_b|/n · |mean confidence - accuracy| (Guo et al. 2017, arXiv 1706.04599, equation 3).
    """
    p, y = checked(lp, targets)
    confidence = np.exp(p.max(axis=1))
    return binned_gap(confidence, p.argmax(axis=1) == y, bins)


def binned_gap(confidence: Array, hit: ArrayLike, bins: int) -> float:
    """sum_b |B_b|/n · |mean confidence - share of hits| over equal-width bins ((j-1)/bins, j/bins], 0 in the first."""
    edges = np.arange(1, bins) / bins
    index = np.searchsorted(edges, confidence, side="left")
    gap = np.bincount(index, confidence - np.asarray(hit, np.float64), minlength=bins)
    return float(np.abs(gap).sum() / len(confidence))


def sce(lp: ArrayLike, targets: ArrayLike, bins: int = 15) -> float:
    """Static calibration error: the gap of `ece` for each class's probability, mean over classes.

    Source: Nixon et al. 2019, arXiv 1904.01685, equation 4.
    """
    p, y = checked(lp, targets)
    gaps = [binned_gap(np.exp(column), y == c, bins) for c, column in enumerate(p.T)]
    return float(np.mean(gaps))


def ace(lp: ArrayLike, targets: ArrayLike, bins: int = 15) -> float:
    """Adaptive calibration error: |mean probability - share of the class| over bins of equal count, class by class.

    Bins contain n // bins objects, the last one also the remainder; the mean is over bins and classes (Nixon et al.
    2019, equation 5). Objects with equal probabilities are binned in the order of rows; nan for fewer objects than
    bins.
    """
    return _adaptive(lp, targets, bins, threshold=-1.0)


def tace(lp: ArrayLike, targets: ArrayLike, bins: int = 15, threshold: float = 1e-3) -> float:
    """`ace` over the probabilities above a threshold only, without classes that have fewer such objects than bins.

    nan if no class remains. The value depends strongly on the threshold.
    """
    return _adaptive(lp, targets, bins, threshold)


def _adaptive(lp: ArrayLike, targets: ArrayLike, bins: int, threshold: float) -> float:
    p, y = checked(lp, targets)
    gaps: list[float] = []
    for c, column in enumerate(np.exp(p).T):
        kept = np.flatnonzero(column > threshold)
        if len(kept) < bins:
            continue
        kept = kept[np.argsort(column[kept], kind="stable")]
        size = len(kept) // bins
        starts = np.arange(bins) * size
        counts = np.append(np.full(bins - 1, size), len(kept) - (bins - 1) * size)
        difference = np.add.reduceat(column[kept] - (y[kept] == c), starts)
        gaps.extend(np.abs(difference) / counts)
    return float(np.mean(gaps)) if gaps else float("nan")


def bootstrap_interval(
    score: Callable[[Array, Targets], float],
    lp: ArrayLike,
    targets: ArrayLike,
    level: float = 0.95,
    resamples: int = 200,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap interval of a score over objects drawn with replacement."""
    p, y = checked(lp, targets)
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(resamples):
        rows = rng.integers(0, len(y), len(y))
        values.append(score(p[rows], y[rows]))
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
