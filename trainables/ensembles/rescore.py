"""Scores from stored predictions: new metrics, other sizes, corrected bugs, without training anything again.

All functions are pure: tables in, tables out. The predictions are the parts of the table `predictions` that runs save;
as the store returns them they also have the columns trial and repeat.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

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
from trainables.ensembles.metrics.scores import Array, Targets, require_probabilities
from trainables.ensembles.metrics.uncertainty import entropy, mutual_information, negative_confidence

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


@dataclass(frozen=True)
class Run:
    """The stored members of one run on one split.

    Args:
        members: their numbers, ascending.
        lp: (members, n, classes) log-probabilities, float32 as they are stored.
        targets: (n,) classes.
        digest: sha256 over row numbers and targets.
    """

    trial: int
    repeat: int
    split: str
    members: tuple[int, ...]
    lp: Array
    targets: Targets
    digest: str


def runs(predictions: pa.Table, split: str) -> Iterator[Run]:
    """The runs in a table of predictions, in the order of trial and repeat.

    Raises:
        DataError: the split is not there, or members of one run were scored on different objects.
    """
    table = predictions
    for column in ("trial", "repeat"):
        if column not in table.column_names:
            table = table.append_column(column, pa.array(np.zeros(len(table), np.int64)))
    table = table.filter(pc.equal(table["split"], split))
    if not len(table):
        raise DataError(f"the predictions have no split {split!r}; runs save 'val', 'test', and 'foreign' if asked.")
    keys = np.stack([table[name].to_numpy().astype(np.int64) for name in ("trial", "repeat", "member")], axis=1)
    for trial, repeat in np.unique(keys[:, :2], axis=0).tolist():
        rows = np.flatnonzero((keys[:, 0] == trial) & (keys[:, 1] == repeat))
        yield _run(table.take(rows), trial, repeat, split, keys[rows, 2])


def _run(table: pa.Table, trial: int, repeat: int, split: str, member: Targets) -> Run:
    lists = table["lp"].combine_chunks()
    lp = lists.flatten().to_numpy().reshape(len(lists), -1)
    index, target = (table[name].to_numpy().astype(np.int64) for name in ("index", "target"))
    numbers = np.unique(member)
    parts = [np.flatnonzero(member == number) for number in numbers]
    digests = {_digest(index[rows], target[rows]) for rows in parts}
    if len(digests) > 1:
        raise DataError(
            f"trial {trial}, repeat {repeat}, {split}: members were scored on {len(digests)} different lists of objects"
            " (their row numbers and targets differ); do not mix runs of different data or split_seed."
        )
    stacked = np.stack([lp[rows] for rows in parts])
    for number, one in enumerate(stacked):  # a diverged member (nan) is let through: its scores are nan
        require_probabilities(one, f"trial {trial}, repeat {repeat}, {split}, member {number}")
    return Run(trial, repeat, split, tuple(numbers.tolist()), stacked, target[parts[0]], digests.pop())


def _digest(index: Targets, target: Targets) -> str:
    return hashlib.sha256(np.stack([index, target]).astype("<i8").tobytes()).hexdigest()


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
        split: which images are scored.
        split_seed, repeats: of test-time cross-validation.
        k_max: largest size; 0 for all members.
        order: members are taken in the order of their numbers, or in a random one of this seed.
        fit_on: another split whose images the temperature is fitted on, instead of the halves of this one.

    Raises:
        DataError: `k_max` is more than a run has members, or its splits hold different members.
    """
    others = {} if fit_on is None else {(run.trial, run.repeat): run for run in runs(predictions, fit_on)}
    rows: list[dict[str, object]] = []
    for run in runs(predictions, split):
        numbers = taken(run, k_max, order)
        other = None if fit_on is None else _same_members(run, others.get((run.trial, run.repeat)), fit_on)
        average, diversity, fitted = RunningAverage(), RunningDiversity(), RunningAverage()
        for size, number in enumerate(numbers, start=1):
            average.add(run.lp[number])
            diversity.add(run.lp[number], run.targets)
            lp = average.log_probabilities()
            if other is None:
                result = cross_validated(lp, run.targets, scores, repeats, split_seed)
            else:
                fitted.add(other.lp[number])
                result = held_out(lp, run.targets, fitted.log_probabilities(), other.targets, scores)
            measures = diversity.measures(lp, run.targets)
            if "misclassified_auc" in scores:
                found = misclassification(lp, run.targets, diversity.mutual_information(lp))
                measures |= {
                    f"misclassified_{name}_mutual_information": value
                    for name, value in (("auc", found.roc_auc), ("ap", found.average_precision))
                }
            rows += _rows(run, size, split_seed, result, measures)
    return pa.Table.from_pylist(rows, RESULTS_SCHEMA)


def taken(run: Run, k_max: int = 0, order: int | None = None) -> list[int]:
    """Positions of the members of sizes 1, 2, ..., in the order in which they come in.

    Raises:
        DataError: `k_max` is more than there are.
    """
    pool = len(run.lp)
    if k_max > pool:
        raise DataError(
            f"trial {run.trial}, repeat {run.repeat}: k_max = {k_max}, but {pool} members are stored; lower it, or use"
            " 0 for all."
        )
    numbers = np.arange(pool) if order is None else np.random.default_rng(order).permutation(pool)
    return [int(number) for number in numbers[: k_max or pool]]


def _same_members(run: Run, other: Run | None, split: str) -> Run:
    if other is None or other.members != run.members:
        found = "none" if other is None else ", ".join(map(str, other.members))
        raise DataError(
            f"trial {run.trial}, repeat {run.repeat}: the split {split!r} holds other members ({found}) than"
            f" {run.split!r}; leave out runs that have not ended."
        )
    return other


def _rows(
    run: Run, size: int, split_seed: int, result: CrossValidated, measures: Mapping[str, float]
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
    """How well the ensemble of each size tells test images from foreign ones, by three scores.

    Args:
        sizes: which ones; None for all.

    Returns:
        Columns trial, repeat, n_samples, score ("negative_confidence", "entropy", "mutual_information"), roc_auc,
        average_precision_out, average_precision_in, fpr_at_95_tpr.

    Raises:
        DataError: the runs did not predict foreign images (config `foreign`).
    """
    rows = []
    known = {(run.trial, run.repeat): run for run in runs(predictions, "test")}
    for strange in runs(predictions, "foreign"):
        inside = known[strange.trial, strange.repeat]
        for size in range(1, min(len(inside.lp), len(strange.lp)) + 1):
            if sizes is not None and size not in sizes:
                continue
            pair = [_unsure(lp[:size]) for lp in (inside.lp, strange.lp)]
            for score in pair[0]:
                found = asdict(foreign(pair[0][score], pair[1][score]))
                name = {"trial": strange.trial, "repeat": strange.repeat, "n_samples": size, "score": score}
                rows.append(name | found)
    return pa.Table.from_pylist(rows)


def _unsure(members: Array) -> dict[str, Array]:
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

    Pass predictions of deep ensembles alone, of one data set, architecture, dropout and augmentation.

    Raises:
        DataError: the runs were scored on different objects.
    """
    found = list(runs(predictions, split))
    same_objects(found)
    pool = [member for run in found for member in run.lp]
    return reference_curve(pool, found[0].targets, score, calibrated)


def equivalents(
    results: pa.Table, curve: ReferenceCurve, metric: str = "ll", calibrated: bool = True, higher_is_better: bool = True
) -> pa.Table:
    """The deep ensemble equivalent of every size of every run in a table of results.

    Returns:
        Columns trial, repeat, split, n_samples, value, dee, dee_lower, dee_upper, saturated.
    """
    rows = []
    for row in results.select(["trial", "repeat", "split", "n_samples", "metric", "value", "calibrated"]).to_pylist():
        if row.pop("metric") == metric and row.pop("calibrated") == calibrated:
            found = deep_ensemble_equivalent(row["value"], curve.mean, curve.std, higher_is_better=higher_is_better)
            bounds = {"dee": found.value, "dee_lower": found.lower, "dee_upper": found.upper}
            rows.append(row | bounds | {"saturated": found.saturated})
    if not rows:
        raise DataError(f"the results have no {metric!r} with calibrated = {calibrated}; rescore them with it first.")
    return pa.Table.from_pylist(rows)


def same_objects(found: list[Run]) -> None:
    """DataError if runs were scored on different objects: their predictions cannot be put together."""
    first = found[0]
    for run in found:
        if run.digest != first.digest:
            raise DataError(
                f"trials {first.trial} and {run.trial} were scored on different {run.split} objects (data set,"
                " train_images, validation or split_seed differ); their predictions cannot be put together."
            )
