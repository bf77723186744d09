"""What a sweep will try and by which rules, worked out from its spec before anything starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from raybayes.contract import Metric
from raybayes.errors import SpecError
from raybayes.search.objective import Objective
from raybayes.search.outcomes.confirm import Race
from raybayes.search.samplers import Factory, sampler_factory
from raybayes.search.schedulers.population import Population, make_population
from raybayes.search.schedulers.rungs import RANKING, NoPruning, Scheduler, make_scheduler
from raybayes.search.warm_start import WarmStart
from raybayes.space import Space, Value
from raybayes.spec.sweep_spec import SweepSpec
from raybayes.wording import unknown


@dataclass(frozen=True)
class Plan:
    """The rules of one sweep: pure data and functions, the same for every burst of it.

    Args:
        space: what is searched (fixed parameters taken out).
        objectives: what is improved.
        factory: trial number -> sampler.
        scheduler: early stopping.
        population: the rules of population-based training, if it was chosen.
        first: the default configuration within the space; None if a default lies outside.
        grid: all points, if the sampler is "grid".
        remark: what the user should know about the first trial.
        race: the configurations of `grid` are candidates, repeated over seeds until they have clearly lost.
        prior: what earlier sweeps know: configurations to try next, and trials that inform the sampler.
        fixed_params: parameters that are fixed from now on, within the space.
    """

    space: Space
    objectives: tuple[Objective, ...]
    factory: Factory
    scheduler: Scheduler
    population: Population | None = None
    first: dict[str, Value] | None = None
    grid: tuple[dict[str, Value], ...] | None = None
    remark: str = ""
    race: Race | None = None
    prior: WarmStart = field(default_factory=WarmStart)
    fixed_params: Mapping[str, Value] = field(default_factory=dict)

    def given(self, number: int) -> dict[str, Value] | None:
        """What the configuration of trial `number` must contain; the sampler draws the rest (None: all of it)."""
        return {**self._planned(number), **self.fixed_params} or None

    def _planned(self, number: int) -> dict[str, Value]:
        if self.grid is not None:
            return self.grid[number] if number < len(self.grid) else {}
        planned = [*([self.first] if self.first else []), *self.prior.portfolio]
        return planned[number] if number < len(planned) else {}


def make_plan(spec: SweepSpec, space: Space, metrics: Sequence[Metric], defaults: Mapping[str, Any]) -> Plan:
    """Check a spec against a project and settle the rules.

    Args:
        space: the declared space, nothing fixed yet.
        metrics: what the project reports; the first is the default objective.
        defaults: the project's default configuration, dotted names.

    Raises:
        SpecError, SpaceError: an unknown metric, sampler or scheduler, options out of range, parts that do not fit.
    """
    objectives = _objectives(spec, metrics)
    _check_constraints(spec, metrics)
    free = space.without(spec.config)
    factory = sampler_factory(spec.sampler, free, spec.seed, len(objectives))
    grid = None
    if spec.sampler.name == "grid":
        grid = tuple(free.grid())
    scheduler: Scheduler = NoPruning()
    population = None
    if spec.scheduler.name == "pbt":
        population = make_population(spec.scheduler, spec.sampler, free, len(objectives))
    else:
        scheduler = make_scheduler(spec.scheduler)
    if spec.scheduler.name != "none":
        _check_prunable(spec, objectives, metrics)
    _check_narrow(spec, free)
    first, remark = _first_trial(free, defaults)
    return Plan(free, objectives, factory, scheduler, population, first, grid, remark, fixed_params=spec.fixed_params)


def _check_narrow(spec: SweepSpec, space: Space) -> None:
    for name, value in spec.fixed_params.items():
        if name not in space:
            raise SpecError(f"{name} = {value!r}: this sweep does not search {name}; it searches {', '.join(space)}.")
        if not space[name].contains(value):
            raise SpecError(f"{name}: found {value!r}; {space[name].allowed()}. A sweep can be narrowed, not widened.")
    if spec.fixed_params and spec.sampler.name == "grid":
        raise SpecError("a grid lists all its points from the start, so it cannot be narrowed; start a new sweep.")


def _objectives(spec: SweepSpec, metrics: Sequence[Metric]) -> tuple[Objective, ...]:
    known = {metric.name: metric for metric in metrics}
    names = spec.objective or (metrics[0].name,)
    for name in names:
        if name not in known:
            raise SpecError(f"objective: {unknown('metric', name, known, owner=spec.project)}")
    if len(set(names)) < len(names):
        raise SpecError(f"objective names a metric twice: {', '.join(names)}; keep one.")
    return tuple(Objective(name, known[name].direction, known[name].unit) for name in names)


def _check_constraints(spec: SweepSpec, metrics: Sequence[Metric]) -> None:
    known = [metric.name for metric in metrics]
    for name in spec.constraints:
        if name not in known:
            raise SpecError(f"constraints: {unknown('metric', name, known, owner=spec.project)}")


def _check_prunable(spec: SweepSpec, objectives: Sequence[Objective], metrics: Sequence[Metric]) -> None:
    names = [objective.name for objective in objectives]
    if len(objectives) > 1 and spec.scheduler.name not in RANKING:
        raise SpecError(
            f"scheduler {spec.scheduler.name} needs one objective, found {', '.join(names)}; use --scheduler "
            f"{' or '.join([*RANKING, 'none'])}, or --objective {names[0]}."
        )
    every = [metric.name for metric in metrics if metric.every_report]
    late = [name for name in names if name not in every]
    if late:
        others = [f"--objective {name}" for name in every]
        raise SpecError(
            f"scheduler {spec.scheduler.name} needs its objectives in each report, but {', '.join(late)} comes with "
            f"the last one only; use {' or '.join([*others[:1], '--scheduler none'])}."
        )


def _first_trial(space: Space, defaults: Mapping[str, Any]) -> tuple[dict[str, Value] | None, str]:
    point = {name: defaults[name] for name in space.active(defaults) if name in defaults}
    problem = space.outside(point)
    if problem is None:
        return point, ""
    return None, f"the default configuration is not tried first: {problem}"
