"""`rb.simulate`: a sweep over any function, on simulated workers in virtual time, by the code that runs real sweeps.

>>> import raybayes as rb
>>> from raybayes.space import Float, Space
>>> def curve(config):
...     for epoch in range(1, 10):
...         yield {"loss": (config["x"] - 0.3) ** 2 + 1 / epoch, "seconds": 60}
>>> found = rb.simulate(curve, Space({"x": Float(0, 1)}), trials=30, workers=8, scheduler="asha")
>>> found.sweep.best["config.x"], found.seconds / 3600        # doctest: +SKIP
"""

from __future__ import annotations

import inspect
import math
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, SupportsFloat, Unpack, get_args

import pyarrow as pa
from pydantic import BaseModel

from raybayes.clock import VirtualClock
from raybayes.contract import Context, Direction, Metric, Project
from raybayes.engine.controller.controller import SweepController
from raybayes.engine.messages import TrialRun
from raybayes.engine.simulated import SECONDS, Event, Replay
from raybayes.errors import SpecError
from raybayes.search.outcomes.confirm import choose_candidates
from raybayes.search.plan import make_plan
from raybayes.seeds import derive
from raybayes.space import Space
from raybayes.spec.options import OPTIONS
from raybayes.spec.reading import parse_confirm
from raybayes.spec.signatures import SimulateOptions, takes
from raybayes.spec.sweep_spec import SweepSpec, differences, make_spec
from raybayes.store import parquet
from raybayes.store.filesystem import open_storage
from raybayes.store.layout import Layout
from raybayes.store.logs.reports import read_reports
from raybayes.sweeps.confirmation import as_stage, stage_spec
from raybayes.sweeps.execution import require_success, write_down
from raybayes.sweeps.preparation import Prepared, with_sampler
from raybayes.sweeps.results import SweepResult
from raybayes.sweeps.warm_start import warm_start_of

Reports = float | Mapping[str, float] | Iterable[Mapping[str, float]]
Function = Callable[..., Reports]
Curves = Callable[[TrialRun], Iterator[Mapping[str, float]]]


@dataclass(frozen=True)
class Simulated:
    """A simulated sweep.

    Args:
        sweep: its results, as `rb.open_sweep` reads them.
        events: what happened in this call, in order: time (virtual seconds), worker, trial, repeat, kind ("start",
            "report", "complete", "pruned", "failed", "paused"), step, and the metrics.
        seconds: virtual seconds from the first start to the last end.
        utilisation: share of the workers' time that was training, up to the last start of a trial.
        driver_s: CPU seconds that the driver has computed.
    """

    sweep: SweepResult
    events: pa.Table
    seconds: float
    utilisation: float
    driver_s: float


@takes("simulate")
def simulate(
    function: Function,
    space: Space,
    *,
    workers: int = 1,
    objective: Mapping[str, Direction] | None = None,
    first: Mapping[str, Any] | None = None,
    charge_driver: bool = False,
    **options: Unpack[SimulateOptions],
) -> Simulated:
    """Search `space` for what is best under `function`, on simulated workers.

    Args:
        function: `function(config)` or `function(config, seed)`: a number (the objective), a mapping of metrics, or an
            iterable of mappings, one per report. "seconds" in a mapping is how long that report took, 1 by default.
            The seed differs from trial to trial and from repeat to repeat.
        space: what is searched.
        workers: simulated workers; each trains one trial at a time.
        objective: metrics by name with their direction; {"loss": "minimize"} by default.
        first: the configuration to try first, if any.
        charge_driver: see `raybayes.engine.simulated.Replay`; the events then depend on the machine.
        options: as in `rb.sweep`, in virtual time. Without `storage`, the sweep lies in a temporary folder that lives
            as long as the result; with one, the same call resumes a sweep that `time_budget` has ended. `confirm`
            repeats the best at the end, and `events`, `seconds` and the rest are those of the search. `ask_ahead`:
            "always" shows what it costs in quality; by itself it never pays where sampling takes no time. See below.

    Raises:
        RaybayesError: an option that `rb.sweep` would refuse; scheduler pbt, which needs real checkpoints; a sweep of
            that name that is another one.
        TrialError: a larger share than `max_failed_fraction` of the trials failed; the message has the first reason.
    """
    _require_kinds(
        function, space, {"objective": objective, "constraints": options.get("constraints"), "first": first}, workers
    )
    wanted: dict[str, Direction] = dict(objective or {"loss": "minimize"})
    _require_directions(wanted)
    spec, folder = _spec(function, tuple(wanted), workers, dict(options))
    prepared = _prepared(spec, space, wanted, first or {})
    curves = _curves(function, tuple(wanted))
    searched = _run(prepared, curves, workers, charge_driver, folder)
    ended = [record.state.final for record in searched.sweep.records]
    if spec.confirm is None or sum(ended) < spec.trials:
        return searched
    _confirm(searched.sweep, prepared, curves, workers, *parse_confirm(spec.confirm))
    return replace(searched, sweep=SweepResult(searched.sweep.path, keep=folder))


def _spec(
    function: Function, objective: tuple[str, ...], workers: int, options: dict[str, Any]
) -> tuple[SweepSpec, tempfile.TemporaryDirectory[str] | None]:
    """The spec of a simulated sweep, and the temporary folder that holds it if no storage was given."""
    named = re.sub(r"[^A-Za-z0-9._-]+", "", getattr(function, "__name__", "")) or type(function).__name__
    title = options.get("name") or named
    folder = tempfile.TemporaryDirectory(prefix="raybayes-") if options.get("storage") is None else None
    if folder is not None:
        options["storage"] = folder.name
    values = {"project": title, "trials": OPTIONS["trials"].default_at("simulate"), **options, "name": title}
    spec = make_spec("simulate", values, "simulate", kind="replay", objective=objective, concurrency=workers)
    return spec, folder


def _require_kinds(function: Function, space: Space, tables: Mapping[str, Any], workers: int) -> None:
    if not callable(function):
        raise SpecError(f"function: found {function!r}; give a function of a configuration.")
    if not isinstance(workers, int) or workers < 1:
        raise SpecError(f"workers: found {workers}; simulate 1 or more.")
    if not isinstance(space, Space):
        kind = type(space).__name__
        raise SpecError(f"space: found a {kind}; give a raybayes.space.Space: Space({{'x': Float(0, 1)}}).")
    for name, table in tables.items():
        if table is not None and not isinstance(table, Mapping):
            raise SpecError(f"{name}: found {table!r}; give a dict.")


def _require_directions(objective: Mapping[str, Direction]) -> None:
    for name, direction in objective.items():
        if direction not in get_args(Direction):
            allowed = " or ".join(get_args(Direction))
            raise SpecError(f"objective: {name}: found {direction!r}; give {allowed}.")


def _prepared(spec: SweepSpec, space: Space, objective: Mapping[str, Direction], first: Mapping[str, Any]) -> Prepared:
    if spec.scheduler.name == "pbt":
        raise SpecError("scheduler pbt copies checkpoints, and a simulated training has none; use another scheduler.")
    known = [Metric(name, direction) for name, direction in objective.items()]
    known += [Metric(name, "minimize") for name in spec.constraints if name not in objective]
    space = space.requiring(spec.require, {})
    spec = spec.model_copy(update={"require": space.limits})
    spec = with_sampler(spec, space)
    plan = make_plan(spec, space, known, first)
    layout = Layout(open_storage(spec.storage).child(spec.name))
    plan = replace(plan, warm_start=warm_start_of(spec, plan, layout, plan.first or {}))
    project = Project(
        spec.project, "a function", "none", BaseModel, _never, tuple(known), fidelity="report", parallel="data"
    )
    if layout.storage.exists(layout.spec):
        found = SweepResult(layout.storage.display)
        changed = [*differences(found.spec, spec), *found.space.differences(plan.space)]
        if changed:
            raise SpecError(f"{found.path} exists and is another sweep: {'; '.join(changed)}. Choose another name.")
    return Prepared(spec, project, plan, layout)


def _confirm(found: SweepResult, prepared: Prepared, curves: Curves, workers: int, top: int, repeats: int) -> None:
    chosen = [(record.number, record.params) for record in choose_candidates(found.records, found.objectives, top)]
    if chosen:
        spec = stage_spec(found, 1, len(chosen), repeats, {})
        layout = Layout(found.layout.storage.child(found.layout.confirmation(1)))
        plan = make_plan(spec, prepared.plan.space, prepared.project.metrics, {})
        stage = as_stage(Prepared(spec, prepared.project, plan, layout), chosen)
        _run(stage, curves, workers, charge=False, folder=None)


def _never(config: Any, ctx: Context) -> None:
    raise AssertionError("a simulated sweep trains nothing")


def _curves(function: Function, objective: tuple[str, ...]) -> Curves:
    """The function as the executor wants it."""
    seeded = len(inspect.signature(function).parameters) > 1

    def curve(run: TrialRun) -> Iterator[Mapping[str, float]]:
        seed = derive(run.seed, "trial", run.trial, run.repeat)
        answer = function(dict(run.config), seed) if seeded else function(dict(run.config))
        if isinstance(answer, Mapping):
            yield _checked(answer)
        elif isinstance(answer, Iterable) and not isinstance(answer, str | bytes):
            yield from map(_checked, answer)
        elif isinstance(answer, SupportsFloat):
            yield {objective[0]: float(answer)}
        else:
            raise TypeError(f"found {answer!r}; return a number, a mapping of metrics, or several mappings")

    return curve


def _checked(report: Any) -> Mapping[str, float]:
    """A report as the function gave it; TypeError or ValueError, which fail the trial, if it is none."""
    if not isinstance(report, Mapping):
        raise TypeError(f"found {report!r}; a report is a mapping of metrics")
    for name, value in report.items():
        if not isinstance(value, SupportsFloat):
            raise TypeError(f"{name}: found {value!r}; give a number")
    if not 0 <= (took := float(report.get(SECONDS, 1.0))) < math.inf:
        raise ValueError(f"{SECONDS}: found {took:g}; a report takes 0 seconds or more")
    return report


def _run(
    prepared: Prepared,
    function: Curves,
    workers: int,
    charge: bool,
    folder: Any,
) -> Simulated:
    layout = prepared.layout
    write_down(prepared)
    stored = read_reports(layout).to_pylist()
    reached = {(row["trial"], row["repeat"]): (row["step"], row["seconds"]) for row in stored}
    clock = VirtualClock(max((row["time"] for row in stored), default=0.0))
    began = clock.elapsed()
    burst = SweepController(layout, prepared.spec, prepared.plan, clock=clock)
    replay = Replay(burst, clock, function, workers, reached, charge)
    try:
        replay.run()
    finally:
        last = burst.close()
    events = _as_table(replay.events)
    parquet.write_table(layout.storage, layout.events, events)
    found = SweepResult(layout.storage.display, keep=folder)
    require_success(found, last, None)
    share = utilisation(replay.trained, workers, began, replay.last_start)
    return Simulated(found, events, clock.elapsed() - began, share, replay.driver_s)


def utilisation(trained: Iterable[tuple[float, float]], workers: int, began: float, until: float) -> float:
    """Share of the workers' time between two moments that lies in these spans of training; 1 where there is no time."""
    if until <= began:
        return 1.0
    busy = sum(min(end, until) - min(start, until) for start, end in trained)
    return min(1.0, busy / (workers * (until - began)))  # sums of times round


def _as_table(events: list[Event]) -> pa.Table:
    names = dict.fromkeys(name for event in events for name in event.values)
    columns: dict[str, Any] = {
        "time": pa.array([e.time for e in events], pa.float64()),
        **{k: pa.array([getattr(e, k) for e in events], pa.int64()) for k in ("worker", "trial", "repeat")},
        "kind": pa.array([e.kind for e in events], pa.string()),
        "step": pa.array([e.step for e in events], pa.int64()),
    }
    return pa.table(columns | {n: pa.array([e.values.get(n) for e in events], pa.float64()) for n in names})
