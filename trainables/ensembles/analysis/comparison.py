"""The methods of a sweep compared: mean and standard error over repeats of every score at every size.

The input is a long table of results: the one that the runs stored ("curve"), or a rescored one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import nan
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raybayes.contract import Finished
from trainables.ensembles.metrics.dee import Equivalent, deep_ensemble_equivalent
from trainables.ensembles.metrics.reference import ReferenceCurve
from trainables.ensembles.stored.rescore import pool_curve

Curve = dict[int, float]  # K -> value
RECORD = "raybayes.member"  # the metadata key of stored predictions that describes their run


@dataclass(frozen=True)
class Entry:
    """One method of a sweep, by its best trial.

    Args:
        label: the method, with "+ TTA" under test-time augmentation.
        trial: its number.
        values: repeat -> (metric, calibrated) -> K -> value, on the compared split.
        temperature: repeat -> K -> mean fitted temperature.
        cost_epochs: K -> training epochs of the first K members.
    """

    label: str
    trial: int
    values: Mapping[int, Mapping[tuple[str, bool], Curve]]
    temperature: Mapping[int, Curve]
    cost_epochs: Mapping[int, int]

    @property
    def sizes(self) -> list[int]:
        """The sizes that every repeat has reached."""
        curves = [set(found["ll", True]) for found in self.values.values()]
        return sorted(set.intersection(*curves)) if curves else []

    def curve(self, metric: str, calibrated: bool) -> dict[int, tuple[float, float]]:
        """K -> (mean, standard error) over repeats."""
        return {
            size: mean_and_error(found[metric, calibrated][size] for found in self.values.values())
            for size in self.sizes
        }

    def equivalents(self, reference: ReferenceCurve) -> dict[int, list[Equivalent]]:
        """K -> deep ensemble equivalent of the CLL of each repeat."""
        return {
            size: [
                deep_ensemble_equivalent(found["ll", True][size], reference.mean, reference.std)
                for found in self.values.values()
            ]
            for size in self.sizes
        }


def mean_and_error(values: Iterable[float]) -> tuple[float, float]:
    """Mean and standard error of the mean; the error of one value is nan."""
    found = np.array(list(values), np.float64)
    return float(found.mean()), float(found.std(ddof=1) / math.sqrt(len(found))) if len(found) > 1 else nan


def entries(results: pa.Table, split: str = "test") -> dict[tuple[str, str], list[Entry]]:
    """(data set, architecture) -> its methods, best CLL first, each by its best trial on the validation images.

    Args:
        results: long; the columns of `training.tables.CURVE_SCHEMA` with trial and repeat.
        split: the split whose scores are compared. Without validation scores a method's first trial represents it.
    """
    best: dict[tuple[str, str], dict[str, tuple[float, int]]] = {}
    for trial, score in sorted(_validation(results).items()):
        row = results.filter(pc.equal(results["trial"], trial)).slice(0, 1).to_pylist()[0]
        known = best.setdefault((row["dataset"], row["model"]), {})
        label = row["method"] + (" + TTA" if row["augment"] else "")
        if label not in known or score > known[label][0]:
            known[label] = score, trial
    found = {}
    for place, labels in best.items():
        listed = [entry(results, split, label, trial) for label, (_, trial) in labels.items()]
        kept = [one for one in listed if one.sizes]
        found[place] = sorted(kept, key=lambda one: -one.curve("ll", True)[one.sizes[-1]][0])
    return found


def _validation(results: pa.Table) -> dict[int, float]:
    """trial -> mean CLL of the whole ensemble on the validation images; -inf if those were not scored."""
    trials = pc.unique(results["trial"]).to_pylist()
    scores: dict[int, dict[int, tuple[int, float]]] = {trial: {} for trial in trials}
    rows = results.filter(
        pc.and_(pc.and_(pc.equal(results["split"], "val"), pc.equal(results["metric"], "ll")), results["calibrated"])
    )
    for row in rows.select(["trial", "repeat", "n_samples", "value"]).to_pylist():
        known = scores[row["trial"]]
        if row["repeat"] not in known or row["n_samples"] > known[row["repeat"]][0]:
            known[row["repeat"]] = row["n_samples"], row["value"]
    means = {trial: [value for _, value in found.values()] for trial, found in scores.items()}
    return {
        trial: float(np.mean(found)) if found and np.isfinite(found).all() else -math.inf
        for trial, found in means.items()
    }


def entry(results: pa.Table, split: str, label: str, trial: int) -> Entry:
    """The scores of one trial on one split."""
    values: dict[int, dict[tuple[str, bool], Curve]] = {}
    temperature: dict[int, Curve] = {}
    cost: dict[int, int] = {}
    mine = results.filter(pc.and_(pc.equal(results["trial"], trial), pc.equal(results["split"], split)))
    for row in mine.to_pylist():
        curves = values.setdefault(row["repeat"], {})
        curves.setdefault((row["metric"], row["calibrated"]), {})[row["n_samples"]] = row["value"]
        cost[row["n_samples"]] = row["cost_epochs"]
        if row["calibrated"]:
            temperature.setdefault(row["repeat"], {})[row["n_samples"]] = row["temperature"]
    return Entry(label, trial, values, temperature, cost)


def record(predictions: pa.Table) -> dict[str, Any]:
    """The record of the run behind stored predictions: config, normalisation, augmentation, ... of the first part."""
    found: dict[str, Any] = json.loads((predictions.schema.metadata or {})[RECORD.encode()])
    return found


def comparable(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two runs are equal in everything that would make DEE measure something other than the ensembling.

    Args:
        one, other: `record`s. Data, architecture, training augmentation and dropout in training must agree.
    """
    names = ("dataset", "arch", "train_images", "test_images", "validation", "split_seed", "augment")
    ours, theirs = one["config"], other["config"]
    return all(ours[name] == theirs[name] for name in names) and (
        ours["dropout"]["always"] == theirs["dropout"]["always"]
    )


def reference(finished: Finished, listed: Iterable[Entry], split: str) -> ReferenceCurve | None:
    """The curve of the sweep's own deep ensembles, with the networks of all repeats as one pool; None without any."""
    for found in listed:
        if found.label == "deep_ensemble":
            return pool_curve(finished.table("predictions", found.trial), split)
    return None


def summary_table(listed: Iterable[Entry], curve: ReferenceCurve | None) -> pa.Table:
    """One row per method at its largest size: n repeats, K, CLL, DEE with bounds, error in %, temperature, epochs.

    Means over repeats with standard errors, in the order of `listed`. DEE is null without a curve.
    """
    rows = []
    for found in listed:
        size = found.sizes[-1]
        cll, cll_error = found.curve("ll", True)[size]
        wrong, wrong_error = found.curve("error", False)[size]
        worth = [] if curve is None else found.equivalents(curve)[size]
        dee, dee_error = mean_and_error(one.value for one in worth) if worth else (nan, nan)
        temperatures = [known[size] for known in found.temperature.values()]
        rows.append({
            "method": found.label, "n": len(found.values), "K": size, "CLL": cll, "CLL.se": cll_error,
            "DEE": dee, "DEE.se": dee_error,
            "bounds": _bounds(worth),
            "error %": 100 * wrong, "error %.se": 100 * wrong_error,
            "T": round(float(np.mean(temperatures)), 2), "epochs": found.cost_epochs[size],
        })  # fmt: skip
    return _without_nan(rows)


def _bounds(worth: list[Equivalent]) -> str | None:
    """Means of the lower and upper DEE: against the deep ensembles one standard deviation better and worse."""
    if not worth:
        return None
    ends = [mean_and_error(values)[0] for values in ([one.lower for one in worth], [one.upper for one in worth])]
    return "–".join("?" if math.isnan(end) else f"{end:.1f}" for end in ends)


def size_table(listed: Iterable[Entry], curve: ReferenceCurve) -> pa.Table:
    """DEE of every method at K = 1, 2, 3, 5, 8, ..., mean over repeats with standard error; null if not reached."""
    listed = list(listed)
    largest = max(found.sizes[-1] for found in listed)
    shown = [size for size in _fibonacci(largest) if size <= largest]
    rows = []
    for found in listed:
        worth = found.equivalents(curve)
        row: dict[str, Any] = {"method": found.label, "n": len(found.values)}
        for size in shown:
            mean, error = mean_and_error(one.value for one in worth[size]) if size in worth else (nan, nan)
            row |= {f"K = {size}": mean, f"K = {size}.se": error}
        rows.append(row)
    return _without_nan(rows)


def _fibonacci(limit: int) -> list[int]:
    found = [1, 2]
    while found[-1] < limit:
        found.append(found[-1] + found[-2])
    return found


def _without_nan(rows: list[dict[str, Any]]) -> pa.Table:
    clean = [
        {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in row.items()}
        for row in rows
    ]
    floats = {name for row in rows for name, value in row.items() if isinstance(value, float)}
    table = pa.Table.from_pylist(clean)
    fields = [pa.field(field.name, pa.float64()) if field.name in floats else field for field in table.schema]
    return table.cast(pa.schema(fields))
