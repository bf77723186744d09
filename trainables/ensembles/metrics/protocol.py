"""Test-time cross-validation: scores with a temperature that was fitted on other objects.

The objects are shuffled and split in two halves; each half is scored with the temperature of the other one; this is
repeated, and all evaluations are averaged (Ashukha et al. 2020, arXiv 2002.06470, section 3). The shuffles depend on
(seed, repetition, number of objects) only, so all methods and ensemble sizes are scored on the same halves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from raybayes.errors import DataError
from trainables.ensembles.metrics.calibration import ace, ece, sce, tace
from trainables.ensembles.metrics.detection import misclassification
from trainables.ensembles.metrics.scores import Array, Targets, brier, checked, error, log_likelihood
from trainables.ensembles.metrics.selective import augrc, aurc, excess_aurc
from trainables.ensembles.metrics.temperature import fit_temperature, scale
from trainables.ensembles.metrics.uncertainty import entropy, negative_confidence

Score = Callable[[Array, Targets], float]
SCORES: dict[str, Score] = {"ll": log_likelihood, "error": error, "brier": brier, "ece": ece, "aurc": aurc}
ALL_SCORES: dict[str, Score] = {
    **SCORES,
    "error_top5": lambda p, y: error(p, y, top=5),
    "sce": sce,
    "ace": ace,
    "tace": tace,
    "excess_aurc": excess_aurc,
    "augrc": augrc,
    "misclassified_auc": lambda p, y: misclassification(p, y, negative_confidence(p)).roc_auc,
    "misclassified_ap": lambda p, y: misclassification(p, y, negative_confidence(p)).average_precision,
    "misclassified_auc_entropy": lambda p, y: misclassification(p, y, entropy(p)).roc_auc,
    "misclassified_ap_entropy": lambda p, y: misclassification(p, y, entropy(p)).average_precision,
}
REPEATS = 5  # the paper's number on CIFAR; 2 on ImageNet


@dataclass(frozen=True)
class CrossValidated:
    """Means over all evaluations.

    Args:
        raw: score -> mean on the same halves without scaling.
        calibrated: score -> mean with the other half's temperature; "ll" is the calibrated log-likelihood (CLL).
        temperature: mean fitted T.
        temperature_std: its standard deviation over the fits.
        at_bound: number of fits that ended at a bound of T.
    """

    raw: dict[str, float]
    calibrated: dict[str, float]
    temperature: float
    temperature_std: float
    at_bound: int


def halves(n: int, repeats: int = REPEATS, seed: int = 0) -> Iterator[tuple[Targets, Targets]]:
    """(fit, evaluate) index pairs, 2·repeats of them.

    Raises:
        DataError: fewer than 4 objects.
    """
    if n < 4:
        raise DataError(f"test-time cross-validation needs at least 4 objects, found {n}; predict more of them.")
    for repeat in range(repeats):
        order = np.random.default_rng([seed, repeat, n]).permutation(n)
        first, second = order[: n // 2], order[n // 2 :]
        yield first, second
        yield second, first


def cross_validated(
    lp: ArrayLike, targets: ArrayLike, scores: Mapping[str, Score] = SCORES, repeats: int = REPEATS, seed: int = 0
) -> CrossValidated:
    """Scores of an ensemble's averaged log-probabilities (n, classes), with and without temperature scaling."""
    p, y = checked(lp, targets)
    start = fit_temperature(p, y).value  # near every fold's optimum: saves steps without changing a result
    raw: dict[str, list[float]] = {name: [] for name in scores}
    calibrated: dict[str, list[float]] = {name: [] for name in scores}
    fits = []
    for fit, evaluate in halves(len(y), repeats, seed):
        fitted = fit_temperature(p[fit], y[fit], start)
        unscaled, right = p[evaluate], y[evaluate]
        scaled = scale(unscaled, fitted.value)
        for name, score in scores.items():
            raw[name].append(score(unscaled, right))
            calibrated[name].append(score(scaled, right))
        fits.append(fitted)
    values = np.array([fit.value for fit in fits])
    return CrossValidated(
        {name: float(np.mean(column)) for name, column in raw.items()},
        {name: float(np.mean(column)) for name, column in calibrated.items()},
        float(values.mean()),
        float(values.std()),
        sum(fit.at_bound for fit in fits),
    )


def held_out(
    lp: ArrayLike,
    targets: ArrayLike,
    fit_lp: ArrayLike,
    fit_targets: ArrayLike,
    scores: Mapping[str, Score] = SCORES,
) -> CrossValidated:
    """Scores with a temperature that was fitted on validation objects: the alternative to test-time cross-validation.

    Args:
        lp, targets: the objects that are scored, (n, classes) and (n,).
        fit_lp, fit_targets: the same ensemble on the validation objects.
    """
    p, y = checked(lp, targets)
    fitted = fit_temperature(fit_lp, fit_targets)
    scaled = scale(p, fitted.value)
    return CrossValidated(
        {name: score(p, y) for name, score in scores.items()},
        {name: score(scaled, y) for name, score in scores.items()},
        fitted.value,
        0.0,
        int(fitted.at_bound),
    )
