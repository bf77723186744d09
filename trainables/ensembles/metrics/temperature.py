"""Temperature scaling (Guo, Pleiss, Sun, Weinberger 2017, arXiv 1706.04599) by a safeguarded Newton iteration.

With b = 1/T the negative log-likelihood of softmax(b·lp) is convex in b, so its minimum is found to machine precision
in about six steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from raybayes.errors import DataError
from trainables.ensembles.metrics.scores import Array, checked, log_sum_exp

LOWEST, HIGHEST = 1e-2, 1e2  # bounds of b = 1/T
LARGEST_FACTOR = 4.0  # one step changes b by at most this factor


@dataclass(frozen=True)
class Temperature:
    """A fitted temperature.

    Args:
        value: T; softmax(lp/T) is the calibrated prediction.
        at_bound: the optimum is at or beyond 1/T = 0.01 or 100 (all predictions wrong, or all right).
    """

    value: float
    at_bound: bool


def scale(lp: ArrayLike, temperature: float) -> Array:
    """log_softmax(lp/T), (n, classes)."""
    scaled = np.asarray(lp, np.float64) / temperature
    return scaled - log_sum_exp(scaled)[:, None]


def fit_temperature(lp: ArrayLike, targets: ArrayLike, start: float = 1.0) -> Temperature:
    """The temperature with the highest mean log-likelihood.

    Args:
        lp: (n, classes) finite log-probabilities of the ensemble (after averaging, never of single members).
        targets: (n,) classes.
        start: a first guess of T.

    Raises:
        DataError: the inputs do not fit, or a log-probability is -inf.
    """
    p, y = checked(lp, targets)
    if not np.isfinite(p).all():
        raise DataError("temperature scaling needs finite log-probabilities, found -inf; floor them at log(1e-12).")
    mean_target = p[np.arange(len(y)), y].mean()
    low, high = LOWEST, HIGHEST  # the optimum lies between them
    b = min(max(1 / start, LOWEST), HIGHEST)
    for _ in range(100):
        slope, curvature = _derivatives(p, b, mean_target)
        if abs(slope) <= 1e-14 * max(1.0, abs(mean_target)):
            break
        low, high = (low, b) if slope > 0 else (b, high)
        step = b - slope / curvature if curvature > 0 else (LOWEST if slope > 0 else HIGHEST)
        step = min(max(step, b / LARGEST_FACTOR, LOWEST), b * LARGEST_FACTOR, HIGHEST)
        if not low <= step <= high:
            step = float(np.sqrt(low * high))
        if abs(step - b) <= 1e-14 * b:
            break
        b = step
    return Temperature(1 / b, at_bound=b <= LOWEST * (1 + 1e-9) or b >= HIGHEST * (1 - 1e-9))


def _derivatives(lp: Array, b: float, mean_target: float) -> tuple[float, float]:
    """f'(b) = mean_i(E_i) - mean_i(lp_i,y_i) and f''(b) = mean_i(Var_i), moments of lp_i under softmax(b·lp_i)."""
    scaled = b * lp
    weights = np.exp(scaled - log_sum_exp(scaled)[:, None])
    expected = (weights * lp).sum(axis=1)
    variance = (weights * np.square(lp - expected[:, None])).sum(axis=1)
    return float(expected.mean() - mean_target), float(variance.mean())
