"""Separate two kinds of objects by a score: wrong from right predictions, foreign from known images."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from raybayes.errors import DataError
from trainables.ensembles.metrics.scores import Array, checked


@dataclass(frozen=True)
class Detection:
    """How well a score separates positives from negatives.

    Args:
        roc_auc: probability that a positive scores above a negative, ties 1/2.
        average_precision: area under precision over recall in steps (no trapezoids).
        undefined: the reason if both are nan, else "".
    """

    roc_auc: float
    average_precision: float
    undefined: str = ""


@dataclass(frozen=True)
class Foreign:
    """Out-of-distribution detection.

    Args:
        roc_auc: probability that a foreign object scores above a known one, ties 1/2.
        average_precision_out: with foreign objects as the positives.
        average_precision_in: with known objects as the positives.
        fpr_at_95_tpr: share of known objects above the threshold that 95 % of the foreign ones pass.
    """

    roc_auc: float
    average_precision_out: float
    average_precision_in: float
    fpr_at_95_tpr: float


def roc_auc(score: ArrayLike, positive: ArrayLike) -> float:
    """Mann-Whitney's U over the number of pairs; nan without positives or without negatives."""
    s, is_positive = _pair(score, positive)
    n_positive = int(is_positive.sum())
    n_negative = len(s) - n_positive
    if not n_positive or not n_negative:
        return nan
    rank_sum = rankdata(s)[is_positive].sum()
    return float((rank_sum - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))


def average_precision(score: ArrayLike, positive: ArrayLike) -> float:
    """sum_t (recall_t - recall_t-1) · precision_t over the distinct thresholds; nan without positives."""
    s, is_positive = _pair(score, positive)
    if not is_positive.any():
        return nan
    hits, alarms = _counts(s, is_positive)
    recall = hits / hits[-1]
    return float((np.diff(recall, prepend=0.0) * hits / alarms).sum())


def fpr_at_tpr(score: ArrayLike, positive: ArrayLike, tpr: float = 0.95) -> float:
    """The smallest share of negatives above a threshold that `tpr` of the positives reach; nan if undefined."""
    s, is_positive = _pair(score, positive)
    if not is_positive.any() or is_positive.all():
        return nan
    hits, alarms = _counts(s, is_positive)
    enough = int(np.argmax(hits >= tpr * hits[-1] - 1e-9))
    return float((alarms[enough] - hits[enough]) / (len(s) - hits[-1]))


def misclassification(lp: ArrayLike, targets: ArrayLike, score: ArrayLike) -> Detection:
    """How well a score finds the wrong predictions. Not comparable between models: each has its own wrong predictions.

    Args:
        lp: (n, classes) log-probabilities of the ensemble.
        targets: (n,) classes.
        score: (n,), larger = less certain (see `uncertainty`).
    """
    p, y = checked(lp, targets)
    wrong = p.argmax(axis=1) != y
    if wrong.all() or not wrong.any():
        return Detection(nan, nan, f"all {len(y)} predictions are {'wrong' if wrong.all() else 'right'}")
    return Detection(roc_auc(score, wrong), average_precision(score, wrong))


def foreign(known: ArrayLike, strange: ArrayLike) -> Foreign:
    """Out-of-distribution detection from the scores of known and of foreign objects, larger = less certain."""
    inside, outside = np.asarray(known, np.float64), np.asarray(strange, np.float64)
    if not inside.size or not outside.size:
        raise DataError(f"detection needs both kinds of objects, found {inside.size} known and {outside.size} foreign.")
    score = np.concatenate([inside, outside])
    out = np.arange(len(score)) >= len(inside)
    return Foreign(
        roc_auc(score, out), average_precision(score, out), average_precision(-score, ~out), fpr_at_tpr(score, out)
    )


def _pair(score: ArrayLike, positive: ArrayLike) -> tuple[Array, NDArray[np.bool_]]:
    s, is_positive = np.asarray(score, np.float64), np.asarray(positive, bool)
    if s.ndim != 1 or s.shape != is_positive.shape or np.isnan(s).any():
        raise DataError(f"scores {s.shape} without nan and flags {is_positive.shape} must be two lists of one length.")
    return s, is_positive


def _counts(score: Array, positive: NDArray[np.bool_]) -> tuple[Array, Array]:
    """True and all alarms at each distinct threshold, from the strictest on."""
    order = np.argsort(-score, kind="stable")
    last_of_tie = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))
    return np.cumsum(positive[order])[last_of_tie].astype(np.float64), (last_of_tie + 1).astype(np.float64)
