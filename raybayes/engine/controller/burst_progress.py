"""What a user sees of a burst, from its trials."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from raybayes.engine.controller.trial_state import ActiveRun, TrialState
from raybayes.search.objective import Objective
from raybayes.search.outcomes.ranking import find_pareto_front
from raybayes.search.progress import Ended, Progress, Running


def describe_progress(
    wanted: int,
    objectives: Sequence[Objective],
    closed: Mapping[int, TrialState],
    active: Sequence[ActiveRun],
    ended: Sequence[Ended],
    stopping: bool,
    paused: int,
    stopped: str,
) -> Progress:
    """The progress now; the best trial is that of the first objective. `stopped` says why the sweep ends by itself."""
    name, records = objectives[0].name, [trial.record for trial in closed.values() if trial.record is not None]
    running = tuple(Running(*a.key, a.progress.step, a.progress.metrics.get(name)) for a in active)
    states = Counter(str(record.state) for record in records)
    first = find_pareto_front(records, objectives[:1])
    record = closed[first[0]].record if first else None
    best = (record.number, record.values[0]) if record and record.values else None
    notes = record.notes if record else {}
    rests_on = (notes.get("n", 1), notes.get("se", {}).get(name))
    return Progress(wanted, dict(states), running, best, tuple(ended), stopping, paused, rests_on, stopped)
