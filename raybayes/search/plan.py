"""The plan of a sweep: what it tries and by which rules, derived from its spec before anything starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from raybayes.contract import Metric
from raybayes.errors import SpecError
from raybayes.search.objective import Objective
from raybayes.search.outcomes.confirm import Race
from raybayes.search.samplers import Factory, make_sampler_factory
from raybayes.search.schedulers.population import Population, make_population
from raybayes.search.schedulers.rungs import RANKING, NoPruning, Scheduler, make_scheduler
from raybayes.search.stopping import Stopping, make_stopping
from raybayes.search.study.drawing import list_configurations, require_possible
from raybayes.search.warm_start import WarmStart
from raybayes.space import Space, Value
from raybayes.spec.sweep_spec import SweepSpec
from raybayes.wording import unknown


@dataclass(frozen=True)
class Plan:
    """The rules of one sweep: pure data and functions, the same for every burst of it.

    Args:
        space: the searched parameters, without the fixed ones.
        objectives: the metrics to improve.
        factory: makes the sampler of a trial from its number.
        scheduler: early stopping.
        population: the rules of population-based training, if it is the scheduler.
        first: the default configuration within the space; None if a default lies outside.
        grid: all points, if the sampler is "grid".
        remark: why the default configuration is not the first trial; else empty.
        repeating: what happens if there are more trials than configurations; else empty.
        race: of a confirmation: the configurations of `grid` run on more seeds until they clearly lose.
        warm_start: from earlier sweeps: configurations to try next, and trials for the sampler.
        fixed_params: values within the space that new trials must have.
        stopping: when the sweep ends before it has all its trials.
    """

    space: Space
    objectives: tuple[Objective, ...]
    factory: Factory
    scheduler: Scheduler
    population: Population | None = None
    first: dict[str, Value] | None = None
    grid: tuple[dict[str, Value], ...] | None = None
    remark: str = ""
    repeating: str = ""
    race: Race | None = None
    warm_start: WarmStart = field(default_factory=WarmStart)
    fixed_params: Mapping[str, Value] = field(default_factory=dict)
    stopping: Stopping = field(default_factory=Stopping)

    def required_values(self, number: int) -> dict[str, Value] | None:
        """Values that the configuration of trial `number` must have; the sampler draws the rest (None: all)."""
        return {**self._planned(number), **self.fixed_params} or None

    def _planned(self, number: int) -> dict[str, Value]:
        if self.grid is not None:
            return self.grid[number] if number < len(self.grid) else {}
        planned = [*([self.first] if self.first else []), *self.warm_start.portfolio]
        return planned[number] if number < len(planned) else {}


def make_plan(spec: SweepSpec, space: Space, metrics: Sequence[Metric], defaults: Mapping[str, Any]) -> Plan:
    """Check a spec against a project and make its plan.

    Args:
        space: the declared space, with nothing fixed.
        metrics: what the project reports; the first is the default objective.
        defaults: the project's default configuration, dotted names.

    Raises:
        SpecError, SpaceError: unknown metric, sampler or scheduler, option out of range, impossible combination.
    """
    objectives = _objectives(spec, metrics)
    _check_constraints(spec, metrics)
    free = space.without(spec.config)
    factory = make_sampler_factory(spec.sampler, free, spec.seed, len(objectives), spec.trials)
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
    _check_fixed_params(spec, free)
    require_possible(free, spec.fixed_params)
    first, remark = _first_trial(free, defaults)
    return Plan(
        free,
        objectives,
        factory,
        scheduler,
        population,
        first,
        grid,
        remark,
        repeating=_repeating(spec, free),
        fixed_params=spec.fixed_params,
        stopping=make_stopping(spec, objectives, free),
    )


def _check_fixed_params(spec: SweepSpec, space: Space) -> None:
    for name, value in spec.fixed_params.items():
        if name not in space:
            raise SpecError(f"fixed_params: {unknown('parameter', name, space, owner='the space')}")
        if not space[name].contains(value):
            raise SpecError(
                f"{name}: found {value!r}; {space[name].allowed()}. A value can be fixed within the range only."
            )
    if spec.fixed_params and spec.sampler.name == "grid":
        raise SpecError(
            "fixed_params: a grid lists all its points at the start, so none can be fixed later; start a new sweep."
        )


def _objectives(spec: SweepSpec, metrics: Sequence[Metric]) -> tuple[Objective, ...]:
    known = {metric.name: metric for metric in metrics}
    names = spec.objective or (metrics[0].name,)
    for name in names:
        if name not in known:
            raise SpecError(f"objective: {unknown('metric', name, known, owner=spec.project)}")
    if len(set(names)) < len(names):
        raise SpecError(f"objective names a metric twice: {', '.join(names)}; keep one of them.")
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
            f"scheduler {spec.scheduler.name} needs its objectives in every report, but {', '.join(late)} is in the "
            f"last report only; use {' or '.join([*others[:1], '--scheduler none'])}."
        )


def _repeating(spec: SweepSpec, space: Space) -> str:
    """A sentence if there are more trials than configurations."""
    known = list_configurations(space) if len(space) and spec.scheduler.name != "pbt" else None
    if known is None or len(known) >= spec.trials or spec.kind == "confirm":
        return ""
    if spec.sampler.name == "grid":
        return f"The space has {len(known)} configurations, so {len(known)} of the {spec.trials} trials are trained."
    return (
        f"The space has {len(known)} configurations for {spec.trials} trials: once all were tried, they are repeated "
        "with other seeds, and tables show the mean and n of each."
    )


def _first_trial(space: Space, defaults: Mapping[str, Any]) -> tuple[dict[str, Value] | None, str]:
    if all(defaults.get(name) is None for name in space):  # a user's own training has none
        return None, ""
    point = {name: defaults[name] for name in space.active(defaults) if name in defaults}
    problem = space.problem(point)
    if problem is None:
        return point, ""
    return None, f"the default configuration is outside the space and is not tried first: {problem}"
