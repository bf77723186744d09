"""The uncertainty of an ensemble about each object, as scores for detection; larger means less certain."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from trainables.ensembles.metrics.scores import Array, log_sum_exp


def negative_confidence(lp: ArrayLike) -> Array:
    """-max_c p_c, (n,)."""
    found: Array = -np.exp(np.asarray(lp, np.float64).max(axis=1))
    return found


def entropy(lp: ArrayLike) -> Array:
    """H = -sum_c p_c log p_c in nats, (n,), with 0 log 0 = 0."""
    p = np.asarray(lp, np.float64)
    found: Array = -(np.exp(p) * np.where(np.isfinite(p), p, 0.0)).sum(axis=-1)
    return found


def mutual_information(members: ArrayLike) -> Array:
    """H(mean_k p_k) - mean_k H(p_k) in nats, (n,): the disagreement of the members.

    Args:
        members: (K, n, classes) log-probabilities.
    """
    p = np.asarray(members, np.float64)
    average = log_sum_exp(np.moveaxis(p, 0, -1)) - np.log(len(p))
    found: Array = entropy(average) - entropy(p).mean(axis=0)
    return found


def negative_energy(logits: ArrayLike) -> Array:
    """-log sum_c exp(z_c), (n,), from raw logits (Liu et al. 2020, arXiv 2010.03759); needs one network's logits."""
    return -log_sum_exp(np.asarray(logits, np.float64))


def negative_max_logit(logits: ArrayLike) -> Array:
    """-max_c z_c, (n,), from raw logits (Hendrycks et al. 2022, arXiv 1911.11132)."""
    found: Array = -np.asarray(logits, np.float64).max(axis=1)
    return found
