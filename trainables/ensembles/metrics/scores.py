"""Proper scores and accuracy of log-probabilities.

Everywhere in this package `lp` is (n, classes), natural logarithms, each row summing to 1 after exp; `targets` is
(n,) integers in [0, classes). All arithmetic is float64.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from raybayes.errors import DataError

Array = NDArray[np.float64]
Targets = NDArray[np.int64]
NORMALISED = 1e-3  # float32 log-softmax is off by less


def checked(lp: ArrayLike, targets: ArrayLike) -> tuple[Array, Targets]:
    """Both inputs as float64 and int64 arrays.

    Raises:
        DataError: shapes do not match, a target is not a class, or a log-probability is nan or above 0.
    """
    p, y = np.asarray(lp, np.float64), np.asarray(targets)
    if p.ndim != 2 or y.shape != p.shape[:1] or p.size == 0:
        raise DataError(
            f"log-probabilities {p.shape} and targets {y.shape} do not match; (n, classes) and (n,) are required."
        )
    if not np.issubdtype(y.dtype, np.integer) or y.min() < 0 or y.max() >= p.shape[1]:
        raise DataError(f"targets must be integers 0 to {p.shape[1] - 1}, found {y.min()} to {y.max()} ({y.dtype}).")
    if not (p <= 1e-4).all():  # also catches nan; float32 log-softmax exceeds 0 by rounding only
        raise DataError("log-probabilities must be at most 0, found nan or a positive one; take log-softmax first.")
    return p, y.astype(np.int64)


def log_sum_exp(values: Array) -> Array:
    """log sum_c exp(values[..., c]) without overflow; -inf where all are -inf."""
    top = values.max(axis=-1)
    shift = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        found: Array = np.log(np.exp(values - shift[..., None]).sum(axis=-1)) + shift
    return found


def require_probabilities(lp: ArrayLike, place: str) -> None:
    """Refuse rows (n, classes) that are not logarithms of probabilities; rows with nan pass.

    Raises:
        DataError: names the place and the largest deviation of a row's sum from 1.
    """
    totals = np.exp(log_sum_exp(np.asarray(lp, np.float64)))
    if (off := np.nanmax(np.abs(totals - 1), initial=0.0)) > NORMALISED:
        raise DataError(
            f"{place}: the sum of the probabilities deviates from 1 by {off:.2g}, and rounding explains at most"
            f" {NORMALISED:g}; store log_softmax of the logits."
        )


def target_log_probability(lp: ArrayLike, targets: ArrayLike, floor: float | None = None) -> Array:
    """The log-probability of each target, (n,); with `floor` it is log(floor + p) as in the reference code (1e-12)."""
    p, y = checked(lp, targets)
    picked = p[np.arange(len(y)), y]
    return picked if floor is None else np.log(floor + np.exp(picked))


def log_likelihood(lp: ArrayLike, targets: ArrayLike, floor: float | None = None) -> float:
    """Mean log-likelihood in nats: mean_i lp[i, y_i]."""
    return float(target_log_probability(lp, targets, floor).mean())


def error(lp: ArrayLike, targets: ArrayLike, top: int = 1) -> float:
    """Share of objects whose target is not among the `top` most probable classes; ties go to the lower class."""
    p, y = checked(lp, targets)
    picked = p[np.arange(len(y)), y][:, None]
    before = (p > picked) | ((p == picked) & (np.arange(p.shape[1]) < y[:, None]))
    return float((before.sum(axis=1) >= top).mean())


def brier(lp: ArrayLike, targets: ArrayLike) -> float:
    """Brier score, mean_i sum_c (p_ic - [y_i = c])^2, in [0, 2] (Brier 1950); not divided by the number of classes."""
    p, y = checked(lp, targets)
    probabilities = np.exp(p)
    return float((np.square(probabilities).sum(axis=1) - 2 * probabilities[np.arange(len(y)), y] + 1).mean())
