"""How a report and the end of a trial are judged: pure functions, no study and no clock.

Told right, and not as a plain bridge between a tuner and Optuna tells it: stopped by the scheduler is PRUNED, an
objective that is no finite number is FAIL at that very report, an exception is FAIL with the error kept.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from raybayes.contract import Action
from raybayes.search.objective import Objective
from raybayes.spec.reading import parse_bound


class State(enum.StrEnum):
    """The state of a trial. RUNNING and PAUSED are not final: such a trial is taken up again."""

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
    """The end of a trial: its state, one value an objective (COMPLETE only), the reason of a failure."""

    state: State
    values: tuple[float, ...] | None = None
    error: str | None = None


def not_finite(metrics: Mapping[str, float], objectives: Sequence[Objective]) -> str | None:
    """The sentence for an objective that was reported as NaN or infinite, or None."""
    for objective in objectives:
        value = metrics.get(objective.name)
        if value is not None and not math.isfinite(value):
            return f"{objective.name} was reported as {value}"
    return None


def ended(
    action: Action, metrics: Mapping[str, float], objectives: Sequence[Objective], error: str | None = None
) -> Outcome:
    """What a trial has come to, from its last decision, its last reported metrics and the error, if any."""
    if error is not None:
        return Outcome(State.FAIL, error=error)
    if action is Action.FAIL:
        return Outcome(State.FAIL, error=not_finite(metrics, objectives) or "the objective was not finite")
    if action is Action.PRUNE:
        return Outcome(State.PRUNED)
    if action is Action.PAUSE:
        return Outcome(State.PAUSED)
    missing = [objective.name for objective in objectives if objective.name not in metrics]
    if missing:
        return Outcome(State.FAIL, error=f"the run ended without reporting {', '.join(missing)}")
    if problem := not_finite(metrics, objectives):
        return Outcome(State.FAIL, error=problem)
    return Outcome(State.COMPLETE, tuple(float(metrics[objective.name]) for objective in objectives))


def violations(constraints: Mapping[str, str], metrics: Mapping[str, float]) -> dict[str, float]:
    """How far each constraint is missed, <= 0 where it holds; infinite where the metric was not reported."""
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
