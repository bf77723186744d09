"""Selective prediction: the error on the most confident objects only."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from trainables.ensembles.metrics.scores import Array, checked


def aurc(lp: ArrayLike, targets: ArrayLike) -> float:
    """Area under the risk-coverage curve: (1/n) sum_k (errors among the k most confident)/k.

    Objects of equal confidence are averaged over all their orders, so the value does not depend on the rows' order.
    Source: Geifman, Uziel, El-Yaniv 2019, arXiv 1805.08206.
    """
    errors = _expected_errors(lp, targets)
    return float((np.cumsum(errors) / np.arange(1, len(errors) + 1)).mean())


def excess_aurc(lp: ArrayLike, targets: ArrayLike) -> float:
    """E-AURC: `aurc` minus that of an oracle with the same number of errors, all of them last."""
    errors = _expected_errors(lp, targets)
    n, wrong = len(errors), round(errors.sum())
    ranks = np.arange(n - wrong + 1, n + 1)
    return aurc(lp, targets) - float(((ranks - (n - wrong)) / ranks).sum() / n)


def augrc(lp: ArrayLike, targets: ArrayLike) -> float:
    """Area under the generalised risk-coverage curve: (1/n) sum_k (errors among the k most confident)/n.

    Source: Traub et al. 2024, arXiv 2407.01032.
    """
    errors = _expected_errors(lp, targets)
    return float(np.cumsum(errors).mean() / len(errors))


def _expected_errors(lp: ArrayLike, targets: ArrayLike) -> Array:
    """Expected error of the k-th most confident object, (n,): the mean over each group of equal confidences."""
    p, y = checked(lp, targets)
    confidence = p.max(axis=1)
    _, group, size = np.unique(-confidence, return_inverse=True, return_counts=True)
    share = np.bincount(group, p.argmax(axis=1) != y) / size
    return np.repeat(share, size)
