"""Calibration errors. To be reported, not to be ranked by.

They are no proper scores (a constant prediction of the class frequencies has ECE 0), are biased upwards on few objects,
depend on the bins, and (ECE) look at the most probable class alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from trainables.ensembles.metrics.scores import Array, checked


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
