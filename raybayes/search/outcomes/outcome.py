"""Decides how a trial ended, from its last report: pure functions without study or clock.

A trial that the scheduler stops is PRUNED; a non-finite objective makes it FAIL at that report; an exception makes it
FAIL and is kept. (A plain bridge between a tuner and Optuna records all of these as COMPLETE or loses them.)
"""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from raybayes.contract import Action
from raybayes.search.objective import Objective
from raybayes.search.outcomes.cause import Cause, find_cause
from raybayes.spec.reading import parse_bound


class State(enum.StrEnum):
    """The state of a trial. RUNNING and PAUSED are not final: such a trial is resumed."""

    COMPLETE = "COMPLETE"
    PRUNED = "PRUNED"
    FAIL = "FAIL"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"

    @property
    def final(self) -> bool:
        return self in (State.COMPLETE, State.PRUNED, State.FAIL)


@dataclass(frozen=True)
class Outcome:
    """How a trial ended: its state, one value per objective (COMPLETE only), the reason of a failure.

    Args:
        cause: of a failure; None: it shows in `error`.
    """

    state: State
    values: tuple[float, ...] | None = None
    error: str | None = None
    cause: Cause | None = field(default=None, compare=False)


def describe_non_finite(metrics: Mapping[str, float], objectives: Sequence[Objective]) -> str | None:
    """Says which objective was reported as NaN or infinite; None if all are finite."""
    for objective in objectives:
        value = metrics.get(objective.name)
        if value is not None and not math.isfinite(value):
            return f"{objective.name} was reported as {value}"
    return None


def decide_outcome(
    action: Action,
    metrics: Mapping[str, float],
    objectives: Sequence[Objective],
    error: str | None = None,
    cause: Cause | None = None,
) -> Outcome:
    """How a trial ended, from its last decision, its last reported metrics, and its error if it raised one.

    Args:
        cause: of the error, if it is known otherwise than from its text.
    """
    if error is not None:
        return Outcome(State.FAIL, error=error, cause=cause or find_cause(error))
    if action is Action.FAIL:
        problem = describe_non_finite(metrics, objectives) or "the objective was not finite"
        return Outcome(State.FAIL, error=problem, cause=Cause.NOT_FINITE)
    if action is Action.PRUNE:
        return Outcome(State.PRUNED)
    if action is Action.PAUSE:
        return Outcome(State.PAUSED)
    missing = [objective.name for objective in objectives if objective.name not in metrics]
    if missing:
        error = f"the run ended without reporting {', '.join(missing)}"
        return Outcome(State.FAIL, error=error, cause=Cause.EXCEPTION)
    if found := describe_non_finite(metrics, objectives):
        return Outcome(State.FAIL, error=found, cause=Cause.NOT_FINITE)
    return Outcome(State.COMPLETE, tuple(float(metrics[objective.name]) for objective in objectives))


def measure_violations(constraints: Mapping[str, str], metrics: Mapping[str, float]) -> dict[str, float]:
    """By how much each constraint is missed: <= 0 where it holds, infinite where the metric was not reported."""
    missed = {}
    for name, bound in constraints.items():
        relation, limit = parse_bound(name, bound)
        value = metrics.get(name, math.nan)
        distance = value - limit if relation == "<=" else limit - value
        missed[f"{name} {relation} {limit:g}"] = distance if math.isfinite(distance) else math.inf
    return missed


def mean_and_error(samples: Sequence[float]) -> tuple[float, float | None]:
    """Mean and standard error of repeated runs; no error for a single one."""
    mean = math.fsum(samples) / len(samples)
    if len(samples) < 2:
        return mean, None
    variance = math.fsum((sample - mean) ** 2 for sample in samples) / (len(samples) - 1)
    return mean, math.sqrt(variance / len(samples))
