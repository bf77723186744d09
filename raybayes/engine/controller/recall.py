"""What a new burst reads back from the reports of earlier ones: how far runs have come, and curves."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from raybayes.engine.controller.trial_state import TrialProgress
from raybayes.engine.messages import Key
from raybayes.search.objective import Objective
from raybayes.search.outcomes.records import TrialRecord
from raybayes.search.schedulers.nondominated import NondominatedCurves
from raybayes.store.layout import Layout
from raybayes.store.logs.reports import FIXED, read_reports


def read_progress(layout: Layout, trials: Collection[int]) -> dict[Key, TrialProgress]:
    """How far the runs of some trials have come, with the newest value of each metric."""
    table = read_reports(layout)
    found: dict[Key, TrialProgress] = {}
    for row in table.filter(pc.is_in(table["trial"], pa.array(sorted(trials), pa.int64()))).to_pylist():
        metrics = {name: value for name, value in row.items() if name not in FIXED.names and value is not None}
        before = found.get((row["trial"], row["repeat"]), TrialProgress()).metrics
        found[row["trial"], row["repeat"]] = TrialProgress(row["step"], row["seconds"], {**before, **metrics})
    return found


def read_vector_curves(layout: Layout, objectives: Sequence[Objective]) -> NondominatedCurves:
    """The curves of several objectives, from the reports of each trial's first repeat: the study does not keep them."""
    curves = NondominatedCurves()
    for row in read_reports(layout).to_pylist():
        losses = [o.loss(row[o.name]) for o in objectives if row.get(o.name) is not None]
        if row["repeat"] == 0 and len(losses) == len(objectives) and all(map(math.isfinite, losses)):
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
