"""Scores from stored predictions: other metrics and other sizes, without training.

All functions are pure: tables in, tables out. The predictions are the parts of the table `predictions` that runs store;
the store adds the columns trial and repeat.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict

import pyarrow as pa

from raybayes.errors import DataError
from trainables.ensembles.metrics.average import RunningAverage
from trainables.ensembles.metrics.dee import deep_ensemble_equivalent
from trainables.ensembles.metrics.detection import foreign, misclassification
from trainables.ensembles.metrics.diversity import RunningDiversity
from trainables.ensembles.metrics.protocol import (
    ALL_SCORES,
    REPEATS,
    CrossValidated,
    Score,
    cross_validated,
    held_out,
)
from trainables.ensembles.metrics.reference import ReferenceCurve, reference_curve
from trainables.ensembles.metrics.scores import Array
from trainables.ensembles.metrics.uncertainty import entropy, mutual_information, negative_confidence
from trainables.ensembles.stored.runs import (
    StoredRun,
    member_order,
    require_same_members,
    require_same_objects,
    stored_runs,
)

RESULTS_SCHEMA = pa.schema(
    [
        ("trial", pa.int64()),
        ("repeat", pa.int64()),
        ("split", pa.string()),
        ("n_samples", pa.int32()),  # K
        ("metric", pa.string()),
        ("value", pa.float64()),
        ("calibrated", pa.bool_()),
        ("temperature", pa.float64()),
        ("temperature_std", pa.float64()),
        ("split_seed", pa.int64()),
        ("targets_sha256", pa.string()),
    ]
)


def rescore(
    predictions: pa.Table,
    split: str = "test",
    scores: Mapping[str, Score] = ALL_SCORES,
    split_seed: int = 0,
    repeats: int = REPEATS,
    k_max: int = 0,
    order: int | None = None,
    fit_on: str | None = None,
) -> pa.Table:
    """Every score of every ensemble size of every run, raw and calibrated, and diversity; RESULTS_SCHEMA.

    One pass over the members: the cost grows with K, not with K².

    Args:
        predictions: as the store returns them.
        split: the images that are scored.
        scores: name -> score.
        split_seed, repeats: of test-time cross-validation.
        k_max: largest size; 0 for all members.
        order: None for members in the order of their numbers, otherwise the seed of a random order.
        fit_on: a split whose images the temperature is fitted on, instead of the halves of this one.

    Raises:
        DataError: `k_max` exceeds the members of a run, or its two splits hold different members.
    """
    others = {} if fit_on is None else {(run.trial, run.repeat): run for run in stored_runs(predictions, fit_on)}
    rows: list[dict[str, object]] = []
    for run in stored_runs(predictions, split):
        positions = member_order(run, k_max, order)
        other = None
        if fit_on is not None:
            other = require_same_members(run, others.get((run.trial, run.repeat)), fit_on)
        for size, (result, measures) in enumerate(
            _growing(run, other, positions, scores, split_seed, repeats), start=1
        ):
            rows += _rows(run, size, split_seed, result, measures)
    return pa.Table.from_pylist(rows, RESULTS_SCHEMA)


def _growing(
    run: StoredRun,
    other: StoredRun | None,
    positions: Sequence[int],
    scores: Mapping[str, Score],
    split_seed: int,
    repeats: int,
) -> Iterator[tuple[CrossValidated, dict[str, float]]]:
    """Scores and measures of diversity of the first 1, 2, ... of the members at these positions.

    Args:
        other: the same members on the images that the temperature is fitted on; None for cross-validation.
    """
    average, diversity, fitted = RunningAverage(), RunningDiversity(), RunningAverage()
    for position in positions:
        average.add(run.lp[position])
        diversity.add(run.lp[position], run.targets)
        lp = average.log_probabilities()
        if other is None:
            result = cross_validated(lp, run.targets, scores, repeats, split_seed)
        else:
            fitted.add(other.lp[position])
            result = held_out(lp, run.targets, fitted.log_probabilities(), other.targets, scores)
        measures = diversity.measures(lp, run.targets)
        if "misclassified_auc" in scores:
            found = misclassification(lp, run.targets, diversity.mutual_information(lp))
            measures["misclassified_auc_mutual_information"] = found.roc_auc
            measures["misclassified_ap_mutual_information"] = found.average_precision
        yield result, measures


def _rows(
    run: StoredRun, size: int, split_seed: int, result: CrossValidated, measures: Mapping[str, float]
) -> list[dict[str, object]]:
    shared: dict[str, object] = {
        "trial": run.trial,
        "repeat": run.repeat,
        "split": run.split,
        "n_samples": size,
        "split_seed": split_seed,
        "targets_sha256": run.digest,
    }
    raw = shared | {"calibrated": False, "temperature": 1.0, "temperature_std": 0.0}
    scaled = shared | {"calibrated": True, "temperature": result.temperature, "temperature_std": result.temperature_std}
    rows = [raw | {"metric": name, "value": value} for name, value in result.raw.items()]
    rows += [scaled | {"metric": name, "value": value} for name, value in result.calibrated.items()]
    return rows + [raw | {"metric": name, "value": value} for name, value in measures.items()]


def detect_foreign(predictions: pa.Table, sizes: Collection[int] | None = None) -> pa.Table:
    """How well the ensemble of each size separates test images from foreign ones, by three scores.

    Args:
        predictions: as the store returns them.
        sizes: the ensemble sizes; None for all.

    Returns:
        Columns trial, repeat, n_samples, score ("negative_confidence", "entropy", "mutual_information"), roc_auc,
        average_precision_out, average_precision_in, fpr_at_95_tpr.

    Raises:
        DataError: the runs did not predict foreign images (config `foreign`).
    """
    rows = []
    known = {(run.trial, run.repeat): run for run in stored_runs(predictions, "test")}
    for outside in stored_runs(predictions, "foreign"):
        inside = known[outside.trial, outside.repeat]
        for size in range(1, min(len(inside.lp), len(outside.lp)) + 1):
            if sizes is not None and size not in sizes:
                continue
            pair = [_uncertainties(lp[:size]) for lp in (inside.lp, outside.lp)]
            for score in pair[0]:
                found = asdict(foreign(pair[0][score], pair[1][score]))
                name = {"trial": outside.trial, "repeat": outside.repeat, "n_samples": size, "score": score}
                rows.append(name | found)
    return pa.Table.from_pylist(rows)


def _uncertainties(members: Array) -> dict[str, Array]:
    average = RunningAverage()
    for member in members:
        average.add(member)
    lp = average.log_probabilities()
    scores = {"negative_confidence": negative_confidence(lp), "entropy": entropy(lp)}
    return scores if len(members) == 1 else scores | {"mutual_information": mutual_information(members)}


def pool_curve(
    predictions: pa.Table, split: str = "test", score: str = "ll", calibrated: bool = True
) -> ReferenceCurve:
    """The reference curve of deep ensembles, from the members of all runs in the table as one pool.

    Pass predictions of deep ensembles only, of one data set, architecture, dropout and augmentation.

    Raises:
        DataError: the runs were scored on different objects.
    """
    found = list(stored_runs(predictions, split))
    require_same_objects(found)
    pool = [member for run in found for member in run.lp]
    return reference_curve(pool, found[0].targets, score, calibrated)


def equivalents(
    results: pa.Table, curve: ReferenceCurve, metric: str = "ll", calibrated: bool = True, higher_is_better: bool = True
) -> pa.Table:
    """The deep ensemble equivalent of every size of every run in a table of results.

    Returns:
        Columns trial, repeat, split, n_samples, value, dee, dee_lower, dee_upper, saturated.

    Raises:
        DataError: the results lack the metric.
    """
    rows = []
    for row in results.select(["trial", "repeat", "split", "n_samples", "metric", "value", "calibrated"]).to_pylist():
        if row.pop("metric") == metric and row.pop("calibrated") == calibrated:
            found = deep_ensemble_equivalent(row["value"], curve.mean, curve.std, higher_is_better=higher_is_better)
            bounds = {"dee": found.value, "dee_lower": found.lower, "dee_upper": found.upper}
            rows.append(row | bounds | {"saturated": found.saturated})
    if not rows:
        raise DataError(f"the results lack {metric!r} with calibrated = {calibrated}; rescore them with it first.")
    return pa.Table.from_pylist(rows)
