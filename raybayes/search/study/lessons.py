"""What failed trials teach a sampler. In the study, and in every table, a failed trial stays FAIL.

Optuna's samplers read finished trials only, so a region that always fails looks untried and is suggested again and
again. Here the sampler is shown a stand-in for each failure that says something about its configuration.
"""

from __future__ import annotations

import copy
import statistics
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from optuna.trial import FrozenTrial, TrialState

from raybayes.search.objective import Objective
from raybayes.search.outcomes.cause import Cause, find_cause
from raybayes.space import Choice, Space

NEIGHBOURS, CROWD = 5, 3  # a doubtful failure is bad if so many of its nearest trials have failed
Floats = NDArray[np.float64]


def lessons_of_failures(
    trials: Sequence[FrozenTrial], space: Space, objectives: Sequence[Objective], pruned: bool
) -> list[FrozenTrial]:
    """A stand-in for each failed trial that teaches, by number.

    Args:
        trials: all trials of the study.
        pruned: show them as pruned without a report, which TPE ranks below all others, and which needs no value. Else
            as complete: with the worst values so far where the configuration is to blame or most of the nearest trials
            failed too, and else with the medians.
    """
    causes = {trial.number: cause_of(trial) for trial in trials if _is_failed(trial)}
    taught = [trial for trial in trials if trial.number in causes and causes[trial.number].teaches]
    if pruned:
        return [_as_pruned(trial) for trial in taught]
    done = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    if not taught or not done:
        return []
    columns = list(zip(*(trial.values for trial in done), strict=True))
    worst = [max(column, key=o.loss) for o, column in zip(objectives, columns, strict=True)]
    medians = [statistics.median(column) for column in columns]
    ran = [trial for trial in trials if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)]
    crowded = _in_crowds(space, [trial for trial in taught if not causes[trial.number].certain], taught, ran)
    return [
        _as_complete(trial, worst if causes[trial.number].certain or trial.number in crowded else medians)
        for trial in taught
    ]


def cause_of(trial: FrozenTrial) -> Cause:
    """Why a trial failed; of a sweep that did not store it, from the error."""
    stored = trial.user_attrs.get("cause")
    return Cause(stored) if stored is not None else find_cause(str(trial.user_attrs.get("error", "")))


def _is_failed(trial: FrozenTrial) -> bool:
    return trial.state is TrialState.FAIL and not trial.user_attrs.get("void")


def _as_pruned(trial: FrozenTrial) -> FrozenTrial:
    shown = copy.copy(trial)
    shown.state, shown.intermediate_values = TrialState.PRUNED, {}
    return shown


def _as_complete(trial: FrozenTrial, values: Sequence[float]) -> FrozenTrial:
    shown = copy.copy(trial)
    shown.state, shown.values = TrialState.COMPLETE, list(values)
    return shown


def _in_crowds(
    space: Space, doubtful: Sequence[FrozenTrial], failed: Sequence[FrozenTrial], ran: Sequence[FrozenTrial]
) -> set[int]:
    """Numbers of the `doubtful` trials most of whose nearest trials, of all that failed or ran, have failed."""
    if not doubtful:
        return set()
    others = [*failed, *ran]
    distances = distance_matrix(space, doubtful, others)
    bad = np.array([True] * len(failed) + [False] * len(ran))
    crowded = set()
    for trial, row in zip(doubtful, distances, strict=True):
        row[[other.number == trial.number for other in others]] = np.inf  # itself
        if bad[np.argsort(row, kind="stable")[:NEIGHBOURS]].sum() >= CROWD:
            crowded.add(trial.number)
    return crowded


def distance_matrix(space: Space, ones: Sequence[FrozenTrial], others: Sequence[FrozenTrial]) -> Floats:
    """(ones, others): the distance of each pair of configurations as `raybayes.space.sampling.distance` measures it."""
    total = np.zeros((len(ones), len(others)))
    counted = np.zeros_like(total)
    for name in space:
        mine, theirs = (_places(space, name, trials) for trials in (ones, others))
        missing = np.isnan(mine)[:, None].astype(int) + np.isnan(theirs)[None]
        gap = np.abs(mine[:, None] - theirs[None])
        if isinstance(space[name], Choice):
            gap = (gap > 0).astype(float)
        total += np.where(missing == 0, gap, missing == 1)
        counted += missing < 2
    return total / np.maximum(counted, 1)


def _places(space: Space, name: str, trials: Sequence[FrozenTrial]) -> Floats:
    """(trials,): where each value lies in the parameter's range, in [0, 1]; the number of a choice; NaN: inactive."""
    parameter = space[name]
    places = np.array(
        [t.distributions[name].to_internal_repr(t.params[name]) if name in t.params else np.nan for t in trials],
        dtype=float,
    )
    if isinstance(parameter, Choice):
        return places
    low, high = parameter.low, parameter.high
    if parameter.log:
        places, low, high = np.log(places), float(np.log(low)), float(np.log(high))
    return np.asarray((places - low) / (high - low if high > low else 1.0))
