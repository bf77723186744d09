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
NEAR = 1e-7  # after a Newton step below this, relative to b, the error is about its square
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
        DataError: the inputs do not match, or a log-probability is -inf.
    """
    p, y = checked(lp, targets)
    if not np.isfinite(p).all():
        raise DataError("temperature scaling needs finite log-probabilities, found -inf; floor them at log(1e-12).")
    top = p.max(axis=1)
    below = p - top[:, None]  # moments about the largest entry neither overflow nor cancel
    mean_target = float((p[np.arange(len(y)), y] - top).mean())
    low, high = LOWEST, HIGHEST  # the optimum lies between them
    b = min(max(1 / start, LOWEST), HIGHEST)
    for _ in range(100):
        slope, curvature = _derivatives(below, b, mean_target)
        if abs(slope) <= 1e-14 * max(1.0, abs(mean_target)):
            break
        low, high = (low, b) if slope > 0 else (b, high)
        step = b - slope / curvature if curvature > 0 else (LOWEST if slope > 0 else HIGHEST)
        step = min(max(step, b / LARGEST_FACTOR, LOWEST), b * LARGEST_FACTOR, HIGHEST)
        if not low <= step <= high:
            step = float(np.sqrt(low * high))
        near, b = abs(step - b) <= NEAR * b, step
        if near:
            break
    return Temperature(1 / b, at_bound=b <= LOWEST * (1 + 1e-9) or b >= HIGHEST * (1 - 1e-9))


def _derivatives(below: Array, b: float, mean_target: float) -> tuple[float, float]:
    """f'(b) = mean_i(E_i) - mean target and f''(b) = mean_i(Var_i), moments under softmax(b·below_i).

    Args:
        below: (n, classes) log-probabilities minus the largest of their row.
        mean_target: mean of `below` at the targets.
    """
    weights = b * below
    np.exp(weights, out=weights)
    total = weights.sum(axis=1)
    np.multiply(weights, below, out=weights)
    expected = weights.sum(axis=1) / total
    square = np.einsum("ij,ij->i", weights, below) / total
    return float(expected.mean() - mean_target), float((square - np.square(expected)).mean())
