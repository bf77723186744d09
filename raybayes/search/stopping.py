"""When a sweep has done enough: rules on its finished trials, and a budget of hours. Pure functions of what is stored.

A resumed sweep judges the same trials in the same order, and so stops where an uninterrupted one does.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.terminator import RegretBoundEvaluator

from raybayes.errors import SpecError
from raybayes.search.objective import Objective
from raybayes.search.outcomes.outcome import State
from raybayes.search.outcomes.pareto import hypervolume
from raybayes.search.outcomes.records import TrialRecord
from raybayes.space import Choice, Space
from raybayes.spec.stop_rules import Budget, StopRule, parse_budget, parse_stop_rules
from raybayes.spec.sweep_spec import Resources, SweepSpec
from raybayes.wording import number as in_short

Floats = NDArray[np.float64]
NEIGHBOURS, JUDGED = 3, 300  # of each trial; trials that the noise is estimated from, the newest
LEAST_FOR_NOISE, LEAST_FOR_REGRET, REGRET_EVERY = 10, 20, 5  # complete trials
GROWTH = 1e-3  # share of the hypervolume that counts as an improvement


@dataclass(frozen=True)
class Stopping:
    """The rules of one sweep.

    Args:
        rules: any of them ends the sweep.
        budget: ends it when its training has used so much; None: no limit.
        resources: of one trial.
        objectives: of the sweep; the rules on one value judge the first.
        space: what is searched.
    """

    rules: tuple[StopRule, ...] = ()
    budget: Budget | None = None
    resources: Resources = field(default_factory=Resources)
    objectives: tuple[Objective, ...] = ()
    space: Space = field(default_factory=lambda: Space({}))

    def reason(self, records: Sequence[TrialRecord], study: optuna.Study) -> str:
        """Why the sweep ends now, in a sentence; "" if it goes on.

        Args:
            records: the finished trials.
            study: the same trials, for Optuna's terminator.
        """
        ended = sorted(records, key=lambda record: (record.ended or 0.0, record.number))
        for rule in self.rules:
            if found := self._judge(rule, ended, study):
                return f"{rule}: {found}"
        return ""

    def over_budget(self, seconds: float) -> str:
        """Why the sweep ends after so many seconds of training, all trials together; "" if it goes on."""
        if self.budget is None or self.used_hours(seconds) < self.budget.hours:
            return ""
        return f"budget {self.budget}: its trials have trained for {in_short(self.used_hours(seconds), 3)} {self.unit}"

    def used_hours(self, seconds: float) -> float:
        """Hours of CPUs or GPUs, as the budget counts."""
        gpu = self.budget is not None and self.budget.of == "gpu"
        return seconds / 3600 * (self.resources.gpus if gpu else self.resources.cpus)

    @property
    def unit(self) -> str:
        return "GPU hours" if self.budget is not None and self.budget.of == "gpu" else "CPU hours"

    def _judge(self, rule: StopRule, ended: Sequence[TrialRecord], study: optuna.Study) -> str:
        if rule.name == "target":
            return self._reached(rule, ended)
        if rule.name == "plateau":
            return plateau(ended, self.objectives[0], self.space, int(rule.number))
        if rule.name == "hypervolume":
            return self._front_stands(ended, int(rule.number))
        return _regret_is_small(study, rule.number)

    def _reached(self, rule: StopRule, ended: Sequence[TrialRecord]) -> str:
        objective, done = self.objectives[0], [r for r in ended if r.values is not None and r.feasible]
        reached = [r for r in done if r.values and objective.loss(r.values[0]) <= objective.loss(rule.number)]
        if not reached:
            return ""
        value = in_short(reached[0].values[0] if reached[0].values else None)
        said = f"trial {reached[0].number} reached {objective.name} {value}"
        if len(done) == len(reached) and not rule.relation:
            side = "<=" if objective.direction == "minimize" else ">="
            said += f" (every finished trial does; {objective.name} is to {objective.direction}, so this means {side})"
        return said

    def _losses(self, record: TrialRecord) -> tuple[float, ...] | None:
        if record.values is None:
            return None
        return tuple(o.loss(value) for o, value in zip(self.objectives, record.values, strict=True))

    def _front_stands(self, ended: Sequence[TrialRecord], trials: int) -> str:
        done = [r for r in ended if r.state is State.PRUNED or r.values is not None]
        points = [self._losses(record) if record.feasible else None for record in done]
        before = np.array([point for point in points[:-trials] if point is not None])
        known = np.array([point for point in points if point is not None])
        if len(before) < 2:
            return ""
        worst = known.max(axis=0)
        now, then = hypervolume(known, worst), hypervolume(before, worst)
        if now <= 0 or now - then > GROWTH * now:
            return ""
        return f"the last {trials} finished trials enlarged the hypervolume by less than {GROWTH:.1%}"


def make_stopping(spec: SweepSpec, objectives: tuple[Objective, ...], space: Space) -> Stopping:
    """The rules of a spec. Raises SpecError for a rule that its objectives, its space or its resources cannot meet."""
    rules = parse_stop_rules(spec.stop_when)
    names = ", ".join(objective.name for objective in objectives)
    for rule in rules:
        if rule.name == "hypervolume" and len(objectives) < 2:
            raise SpecError(f"stop_when: {rule} needs several objectives, found {names}; use plateau:{rule.number:g}.")
        if rule.name != "hypervolume" and len(objectives) > 1:
            raise SpecError(f"stop_when: {rule} needs one objective, found {names}; use hypervolume:30.")
        if rule.name == "regret" and not space:
            raise SpecError("stop_when: regret needs a search space, and nothing is searched; drop it.")
        first, good = objectives[0], "<=" if objectives[0].direction == "minimize" else ">="
        if rule.relation and rule.relation != good:
            raise SpecError(
                f"stop_when: {rule} is on the wrong side: {first.name} is to {first.direction}; write "
                f"target:{good}{rule.number:g}."
            )
    budget = None if spec.budget is None else parse_budget(spec.budget)
    if budget is not None and budget.of == "gpu" and not spec.resources.gpus:
        raise SpecError(
            f"budget: {budget} with trials that use no GPU; give --gpus-per-worker, or hours of CPUs: cpuh."
        )
    return Stopping(rules, budget, spec.resources, objectives, space)


def plateau(ended: Sequence[TrialRecord], objective: Objective, space: Space, trials: int) -> str:
    """Why the best value stands still; "" if it does not.

    An improvement counts if it is larger than the noise: the standard error of the difference, from the repeats of both
    trials or from nearby trials (`noise_of_neighbours`). Many small steps count once they add up to that.

    Args:
        ended: finished trials, in the order in which they ended; a pruned one brings no improvement, a failed one
            says nothing.
        trials: how many of them must bring none.
    """
    noise = noise_of_neighbours(ended, objective, space)
    best, error, margin, since = math.inf, 0.0, 0.0, 0
    for record in ended:
        if record.values is not None and record.feasible:
            loss = objective.loss(record.values[0])
            mine = record.notes.get("se", {}).get(objective.name)
            margin = math.sqrt(2) * noise if mine is None else math.hypot(mine, error)
            if loss < best - (margin if math.isfinite(best) else 0.0):
                best, error, since = loss, mine or 0.0, 0
                continue
        since += math.isfinite(best) and (record.values is not None or record.state is State.PRUNED)
    if since < trials:
        return ""
    beyond = f" by more than its noise, {in_short(margin, 2)}" if margin > 0 else ""
    return f"none of the last {since} finished trials improved {objective.name}{beyond}"


def noise_of_neighbours(ended: Sequence[TrialRecord], objective: Objective, space: Space) -> float:
    """Standard deviation of the objective at one place of the space, from the better half of the complete trials.

    The nugget of their variogram: half the squared difference of neighbours, as a line over their squared distance, at
    distance 0. It is 0 for a smooth function without noise, and below `LEAST_FOR_NOISE` trials.
    """
    done = [r for r in ended if r.values is not None and r.feasible][-JUDGED:]
    done.sort(key=lambda record: objective.loss((record.values or (math.inf,))[0]))
    done = done[: (len(done) + 1) // 2]
    if len(done) < LEAST_FOR_NOISE or not space:
        return 0.0
    places, values = _coordinates(done, space), np.array([(r.values or (0.0,))[0] for r in done])
    distances = ((places[:, None] - places[None]) ** 2).sum(axis=-1)
    np.fill_diagonal(distances, np.inf)
    near = np.argsort(distances, axis=1, kind="stable")[:, :NEIGHBOURS]
    x = np.take_along_axis(distances, near, axis=1).ravel()
    y = ((values[:, None] - values[near]) ** 2 / 2).ravel()
    slope = max(0.0, float(np.cov(x, y)[0, 1] / np.var(x, ddof=1))) if np.var(x) > 0 else 0.0
    return math.sqrt(max(0.0, float(y.mean() - slope * x.mean())))


def _coordinates(records: Sequence[TrialRecord], space: Space) -> Floats:
    """(trials, columns): numbers as shares of their range, a column per choice; inactive ones are 0."""
    columns: list[list[float]] = []
    for name in space:
        parameter, values = space[name], [record.params.get(name) for record in records]
        active = [name in record.params for record in records]
        if isinstance(parameter, Choice):
            columns += [[math.sqrt(0.5) * (a and v == c) for v, a in zip(values, active, strict=True)]
                        for c in parameter.values]  # fmt: skip
            continue
        scale = math.log if parameter.log else float
        low, width = scale(parameter.low), (scale(parameter.high) - scale(parameter.low)) or 1.0
        columns.append([(scale(v) - low) / width if isinstance(v, int | float) else 0.0 for v in values])
        if parameter.when:
            columns.append([float(a) for a in active])
    return np.array(columns).T


def _regret_is_small(study: optuna.Study, bound: float) -> str:
    """Judged at every fifth complete trial from the 20th on: a fit takes about a second."""
    done = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
    if len(done) < LEAST_FOR_REGRET or len(done) % REGRET_EVERY:
        return ""
    with warnings.catch_warnings():  # "experimental" for years
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        left = RegretBoundEvaluator(seed=len(done)).evaluate(done, study.direction)
    return f"Optuna's bound on the regret is {in_short(left, 3)}" if left <= bound else ""
