"""Ranks finished trials, by one objective or by several."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from raybayes.search.objective import Objective
from raybayes.search.outcomes.pareto import count_dominating
from raybayes.search.outcomes.records import TrialRecord


def rank_trials(records: Sequence[TrialRecord], objectives: Sequence[Objective]) -> list[int]:
    """Trial numbers, best first: feasible ones first, then by the number of trials that dominate it, then by loss."""
    losses = {
        record.number: tuple(o.loss(v) for o, v in zip(objectives, record.values, strict=False))
        for record in records
        if record.values is not None
    }
    feasible = {record.number: record.feasible for record in records}
    if len(objectives) == 1:
        return sorted(losses, key=lambda n: (not feasible[n], losses[n], n))
    beaten = dict(zip(losses, count_dominating(np.array(list(losses.values()))), strict=True))
    return sorted(losses, key=lambda n: (not feasible[n], beaten[n], losses[n], n))


def find_pareto_front(records: Sequence[TrialRecord], objectives: Sequence[Objective]) -> list[int]:
    """The feasible trials that no feasible trial dominates, by number; the best trial for one objective."""
    usable = [record for record in records if record.values is not None and record.feasible]
    if len(objectives) == 1:
        return rank_trials(usable, objectives)[:1]
    losses = np.array([[o.loss(v) for o, v in zip(objectives, r.values or (), strict=True)] for r in usable])
    beaten = count_dominating(losses)
    return sorted(record.number for record, by in zip(usable, beaten, strict=True) if not by)
