"""What a new burst reads back from the reports of earlier ones: how far runs have come, and curves."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from raybayes.engine.controller.trial_state import TrialProgress
from raybayes.engine.messages import Key
from raybayes.search.objective import Objective
from raybayes.search.outcomes.records import TrialRecord
from raybayes.search.schedulers.nondominated import NondominatedCurves
from raybayes.store.layout import Layout
from raybayes.store.logs.reports import FIXED, read_reports


def given_up_attempts(records: Iterable[TrialRecord]) -> dict[Key, int]:
    """The last attempt of each run that failed before its trial was run again: its reports no longer count."""
    return {
        (record.number, int(repeat)): attempt
        for record in records
        for repeat, attempt in record.notes.get("retried", {}).items()
        if repeat not in record.notes.get("done", {})
    }


def read_progress(layout: Layout, trials: Collection[int], given_up: Mapping[Key, int]) -> dict[Key, TrialProgress]:
    """How far the runs of some trials have come, with the newest value of each metric.

    Args:
        given_up: as `given_up_attempts` has it.
    """
    table = read_reports(layout)
    found: dict[Key, TrialProgress] = {}
    for row in table.filter(pc.is_in(table["trial"], pa.array(sorted(trials), pa.int64()))).to_pylist():
        key = row["trial"], row["repeat"]
        if row["attempt"] > given_up.get(key, 0):
            metrics = {name: value for name, value in row.items() if name not in FIXED.names and value is not None}
            before = found.get(key, TrialProgress()).metrics
            found[key] = TrialProgress(row["step"], row["seconds"], {**before, **metrics})
    return found


def read_vector_curves(
    layout: Layout, objectives: Sequence[Objective], given_up: Mapping[Key, int]
) -> NondominatedCurves:
    """The curves of several objectives, from the reports of each trial's first repeat: the study does not keep them."""
    curves = NondominatedCurves()
    for row in read_reports(layout).to_pylist():
        losses = [o.loss(row[o.name]) for o in objectives if row.get(o.name) is not None]
        counts = row["repeat"] == 0 and row["attempt"] > given_up.get((row["trial"], 0), 0)
        if counts and len(losses) == len(objectives) and all(map(math.isfinite, losses)):
            curves.add_vector(row["trial"], row["step"], tuple(losses))
    return curves


def last_population(records: Sequence[TrialRecord], unfinished: bool) -> tuple[int, int]:
    """Which population a burst works on, and how many founders it has already: a new one if the last has ended.

    Args:
        unfinished: whether there are trials that have not ended.
    """
    populations = [int(record.notes.get("population", 0)) for record in records if "parent" not in record.notes]
    newest = max(populations, default=0)
    return (newest, populations.count(newest)) if unfinished else (newest + 1, 0)
