"""Trials of one configuration as repeats of each other: their mean, its standard error, and the number of runs."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace

from raybayes.search.objective import Objective
from raybayes.search.outcomes.records import TrialRecord
from raybayes.space.values import as_key


def pool_repeats(records: Sequence[TrialRecord], objectives: Sequence[Objective]) -> list[TrialRecord]:
    """The records, those of equal configurations with the mean over all their runs in place of their own values.

    A member of a population that has a parent continues another trial, and repeats nothing.
    """
    groups: dict[str, list[TrialRecord]] = {}
    for record in records:
        if record.values is not None and "parent" not in record.notes:
            params = {name: as_key(value) for name, value in record.params.items()}
            groups.setdefault(json.dumps(params, sort_keys=True), []).append(record)
    pooled = {
        record.number: each
        for group in groups.values()
        if len(group) > 1
        for record, each in zip(group, _pooled(group, objectives), strict=True)
    }
    return [pooled.get(record.number, record) for record in records]


def _pooled(group: Sequence[TrialRecord], objectives: Sequence[Objective]) -> list[TrialRecord]:
    runs = [int(record.notes.get("n", 1)) for record in group]
    found = [_mean_and_error(group, runs, i, objective.name) for i, objective in enumerate(objectives)]
    means = tuple(mean for mean, _ in found)
    errors = {objective.name: error for objective, (_, error) in zip(objectives, found, strict=True)}
    names = dict.fromkeys(name for record in group for name in record.missed)
    missed = {name: _weighted([record.missed.get(name, 0.0) for record in group], runs) for name in names}
    feasible = all(distance <= 0 for distance in missed.values())
    return [
        replace(
            record, values=means, feasible=feasible, missed=missed,
            notes={**record.notes, "n": sum(runs), "se": {**record.notes.get("se", {}), **errors}},
        )
        for record in group
    ]  # fmt: skip


def _weighted(values: Sequence[float], runs: Sequence[int]) -> float:
    return math.fsum(n * value for n, value in zip(runs, values, strict=True)) / sum(runs)


def _mean_and_error(group: Sequence[TrialRecord], runs: Sequence[int], place: int, name: str) -> tuple[float, float]:
    """Over all runs: the sums of squares within the trials, which their errors give, and between them."""
    values = [(record.values or ())[place] for record in group]
    mean, total = _weighted(values, runs), sum(runs)
    within = [
        n * (n - 1) * record.notes.get("se", {}).get(name, 0.0) ** 2 for n, record in zip(runs, group, strict=True)
    ]
    between = [n * (value - mean) ** 2 for n, value in zip(runs, values, strict=True)]
    return mean, math.sqrt(math.fsum([*within, *between]) / (total - 1) / total)
