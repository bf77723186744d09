"""The Python door: `rb.train`, `rb.sweep`, `rb.resume`, `rb.extend`, `rb.open_sweep`; the command line uses it too."""

from __future__ import annotations

import datetime
import platform
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

from raybayes import __version__, catalog, data
from raybayes.contract import Project
from raybayes.errors import DataError, Interrupted, OutOfTime, RefusedDataError, SpecError, TrialError
from raybayes.knowledge import keep_prior, prior_of
from raybayes.machine import describe_machine
from raybayes.results import Sweep
from raybayes.search.plan import Plan, make_plan
from raybayes.search.preview import preview
from raybayes.search.progress import Progress
from raybayes.space import Choice, Space
from raybayes.spec import SweepSpec, build, default_storage, differences, nest, parse_confirm, parse_duration
from raybayes.store.documents import write_spec
from raybayes.store.filesystem import ensure_writable, open_storage
from raybayes.store.layout import Layout
from raybayes.store.lock import BurstLock

Executor = Literal["ray", "here"]
Watch = Callable[[Progress], None]
_REFUSED = f"{DataError.__module__}.{DataError.__name__}: "  # how a stored error starts that is about the data


def silent(progress: Progress) -> None:
    """Show nothing."""


@dataclass(frozen=True)
class Prepared:
    """A spec that was checked against its project, ready to run or to be shown by --dry-run."""

    spec: SweepSpec
    project: Project
    plan: Plan
    layout: Layout
    candidates: Sequence[Mapping[str, Any]] = ()  # of a confirmation: the trials that it repeats


def train(
    project: str,
    config: Mapping[str, Any] | None = None,
    *,
    workers: int = 1,
    cpus_per_worker: float = 1.0,
    gpus_per_worker: float = 0.0,
    storage: str | None = None,
    name: str | None = None,
    seed: int = 0,
    data: str | None = None,
    every_s: float = 10.0,
    retries: int = 2,
    walltime: str | float | None = None,
    executor: Executor = "ray",
    watch: Watch = silent,
) -> Sweep:
    """Train one configuration.

    Args:
        config: values that differ from the project's defaults, by dotted names or nested.
        storage: folder or object-store URI; RAYBAYES_STORAGE or `runs` by default.
        workers: Ray Train workers that train together.
        every_s: least seconds of training between two checkpoints.
        retries: restarts after a lost worker.
        walltime: "2h", "30m" or seconds, after which the burst ends and `OutOfTime` is raised: the machine's time is
            over, the same call goes on later.
        executor: "ray", or "here" for this process without Ray (one worker).
        watch: called with the progress, about twice a second.

    Returns:
        The run: `.reports`, `.table(name)`, `.path`.

    Raises:
        RaybayesError: the sentences that the command line prints; `TrialError` if the training function failed, of
            the kind `RefusedDataError` if it refused its data.
    """
    values = {
        "kind": "train",
        "project": project,
        "config": dict(config or {}),
        "trials": 1,
        "resources": {"workers": workers, "cpus_per_worker": cpus_per_worker, "gpus_per_worker": gpus_per_worker},
        "storage": storage or default_storage(),
        "name": name or default_name(project),
        "seed": seed,
        "data": data,
        "checkpoints": {"every_s": every_s},
        "retries": retries,
        "sampler": "random",
    }
    return start(build(SweepSpec, values, "train"), executor, watch, walltime)


def sweep(
    project: str,
    *,
    trials: int = 10,
    space: str = "SPACE",
    config: Mapping[str, Any] | None = None,
    sampler: str = "tpe",
    scheduler: str = "none",
    objective: str | tuple[str, ...] = (),
    constraints: Mapping[str, str] | None = None,
    repeats: int = 1,
    time_budget: str | float | None = None,
    concurrency: int | Literal["auto"] | None = None,
    workers: int = 1,
    cpus_per_worker: float = 1.0,
    gpus_per_worker: float = 0.0,
    storage: str | None = None,
    name: str | None = None,
    seed: int = 0,
    data: str | None = None,
    keep_checkpoints: int = 5,
    every_s: float = 10.0,
    retries: int = 2,
    isolate: bool = False,
    ask_ahead: Literal["auto", "always", "never"] = "auto",
    fuse: int | Literal["never", "auto"] = "never",
    failed_limit: float = 0.5,
    report_limit: str | float | None = None,
    warm_start: str = "none",
    confirm: str | None = None,
    walltime: str | float | None = None,
    executor: Executor = "ray",
    watch: Watch = silent,
) -> Sweep:
    """Search a project's space.

    Args:
        trials: how many in all; pruned and failed ones count.
        space: name of a space in `search_spaces/<project>.py`.
        config: values that are fixed, by dotted names or nested.
        sampler, scheduler: a name, with options if need be: "asha:eta=4,grace=2".
        objective: metric names; the project's own choice by default, several for a multi-objective sweep.
        constraints: bounds on metrics, e.g. {"seconds": "<= 60"}.
        repeats: seeds a configuration is run with; the objective is their mean.
        time_budget: "2h", "30m" or seconds, after which the burst ends cleanly and can be resumed.
        concurrency: trials at once; by default as many as fit on the machines by CPUs and GPUs. "auto" begins with one,
            and goes on with as many as the memory allows too, by what the largest worker has taken so far.
        storage: as in `train`.
        keep_checkpoints: finished trials that keep their newest checkpoint: the best ones.
        every_s, retries: as in `train`.
        isolate: a process (or group of them) for each trial alone. By default a slot's processes train one trial after
            the other, which gives the same numbers and saves a second a trial, or ten with several workers.
        ask_ahead: whether configurations are looked for before a slot is free, so that none waits for the sampler:
            "auto" does it where that saves 2 % of a trial's time or more. A sweep with concurrency 1 never does, unless
            "always", and so depends on its seed alone.
        fuse: how many trials are trained at the same time in one process, on the same device, where the project can:
            at most a number, or "auto": as many as the project finds good, shared among the slots, and no more than a
            tenth of the sweep at a time with a sampler that learns from results.
        failed_limit: share of failed trials above which a TrialError is raised at the end.
        report_limit: "10m" or seconds without a report after which a trial is stopped and fails.
        warm_start: "auto" (finished sweeps of the same project and space in `storage`) or paths of sweeps, joined by
            commas; their best configurations are tried first, and their trials inform the sampler.
        confirm: "5x3": repeat the best 5 over 3 fresh seeds at the end and choose the winner by mean.
        walltime, executor, watch: as in `train`.

    Returns:
        The sweep: `.best`, `.trials`, `.pareto`, `.importances()`, `.report()`.

    Raises:
        RaybayesError: the sentences that the command line prints.
    """
    values = {
        "project": project,
        "trials": trials,
        "space": space,
        "config": dict(config or {}),
        "sampler": sampler,
        "scheduler": scheduler,
        "objective": objective,
        "constraints": dict(constraints or {}),
        "repeats": repeats,
        "time_budget_s": parse_duration(time_budget),
        "concurrency": concurrency,
        "resources": {"workers": workers, "cpus_per_worker": cpus_per_worker, "gpus_per_worker": gpus_per_worker},
        "storage": storage or default_storage(),
        "name": name or default_name(project),
        "seed": seed,
        "data": data,
        "checkpoints": {"keep": keep_checkpoints, "every_s": every_s},
        "retries": retries,
        "reuse": {"trials": 1} if isolate else {},
        "ask_ahead": ask_ahead,
        "fuse": fuse,
        "failed_limit": failed_limit,
        "report_limit_s": parse_duration(report_limit),
        "warm_start": warm_start,
        "confirm": confirm,
    }
    return start(build(SweepSpec, values, "sweep"), executor, watch, walltime)


def open_sweep(path: str) -> Sweep:
    """Read a sweep or a run from its folder or URI, without Ray."""
    return Sweep(path)


def resume(
    path: str,
    *,
    walltime: str | float | None = None,
    executor: Executor = "ray",
    watch: Watch = silent,
    **changes: Any,
) -> Sweep:
    """Go on with a sweep where an interruption left it.

    Args:
        changes: what may differ from burst to burst: trials, scheduler, concurrency, time_budget_s, retries, data,
            checkpoints, reuse, ask_ahead, fuse, failed_limit, report_limit_s, and narrow: {parameter: value} that is
            fixed from now on.

    Raises:
        SpecError: a change of what the sweep is (project, space, objective, ...).
    """
    found = Sweep(path)
    if found.spec.kind == "confirm":
        from raybayes.confirmation import go_on

        return go_on(found, executor, watch, changes)
    spec = _changed(found, changes)
    prepared = prepare(spec, Layout(found.layout.storage))
    _same_space(found, prepared.plan.space)
    return run(prepared, executor, watch, walltime)


def extend(path: str, trials: int, **changes: Any) -> Sweep:
    """Add `trials` more trials to a sweep, after finishing what is unfinished; the rest as in `resume`."""
    if trials < 1:
        raise SpecError(f"trials: found {trials}; extend by 1 or more.")
    wanted = Sweep(path).spec.trials + trials
    return resume(path, trials=wanted, **changes)


_BURST = (
    "trials", "scheduler", "concurrency", "time_budget_s", "retries", "data", "checkpoints", "reuse", "ask_ahead",
    "fuse", "failed_limit", "report_limit_s", "narrow", "confirm",
)  # fmt: skip


def _changed(found: Sweep, changes: Mapping[str, Any]) -> SweepSpec:
    if found.spec.kind == "replay":
        raise SpecError(f"{found.path} was simulated; call rb.simulate again with the same function to go on with it.")
    for name, value in changes.items():
        if name not in _BURST:
            old = getattr(found.spec, name, "no such field")
            raise SpecError(
                f"{name}: {old!r} -> {value!r} is part of what the sweep {found.path} is; start a new sweep for it, or "
                f"change only {', '.join(_BURST)}."
            )
    old = found.spec.model_dump()
    merged = {name: {**old[name], **changes.get(name, {})} for name in ("narrow", "checkpoints", "reuse")}
    return build(SweepSpec, {**old, **changes, **merged}, f"resume {found.path}")


def _same_space(found: Sweep, space: Space) -> None:
    if found.space != space:
        before, after = found.space.describe(), space.describe()
        names = [n for n in {**before, **after} if before.get(n) != after.get(n)]
        shown = "; ".join(f"{n}: {before.get(n, 'absent')} -> {after.get(n, 'absent')}" for n in names)
        raise SpecError(
            f"{found.path}: the search space has changed since: {shown}. Put it back, or start a new sweep."
        )


def default_name(project: str) -> str:
    """A name that sorts by time: `ensembles-20260131-142501`."""
    return f"{project}-{datetime.datetime.now():%Y%m%d-%H%M%S}"


def prepare(spec: SweepSpec, layout: Layout | None = None) -> Prepared:
    """Check everything that can be checked before anything starts. Writes nothing.

    Raises:
        RaybayesError: the first thing that is wrong.
    """
    project = catalog.load_project(spec.project)
    fixed = catalog.fixed_values(project, _dotted(spec.config))
    spec = spec.model_copy(update={"config": fixed})
    if spec.fuse != "never":
        catalog.require_fusion(project)
    space = Space({})
    if spec.kind == "sweep":
        space = catalog.load_space(project, spec.space)
        spec = spec.model_copy(update={"objective": spec.objective or project.objective})
    defaults = catalog.filled(project, {**space.constants(), **fixed})
    plan = make_plan(spec, space, project.metrics, defaults)
    _require_data(spec, project, plan, defaults)
    layout = layout or Layout(open_storage(spec.storage).child(spec.name))
    return Prepared(spec, project, replace(plan, prior=prior_of(spec, plan, layout)), layout)


def _dotted(config: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in nest(config).items():
        if isinstance(value, Mapping):
            flat |= {f"{name}.{inner}": v for inner, v in _dotted(value).items()}
        else:
            flat[name] = value
    return flat


def _require_data(spec: SweepSpec, project: Project, plan: Plan, defaults: Mapping[str, Any]) -> None:
    """A project's data set is its config field `dataset`, by convention; look for it before anything starts.

    A file of the user's is read, too, and shown to the project. What trials vary is as in the first of them.
    """
    if "dataset" in plan.space:
        searched = plan.space["dataset"]
        names = list(searched.values) if isinstance(searched, Choice) else []
    else:
        names = [defaults.get("dataset")]
    for name in names:
        if not isinstance(name, str) or name in project.makes:
            continue
        data.origin(name, spec.data)
        if project.check is not None and data.is_path(name):
            point = plan.given(0) or preview(plan, 1)[0]
            config = catalog.configure(project, {**defaults, **point, "dataset": name})
            project.check(config, data.load(name, spec.data))


def start(
    spec: SweepSpec, executor: Executor = "ray", watch: Watch = silent, walltime: str | float | None = None
) -> Sweep:
    """Run a spec: a new sweep, or the same one again (which goes on with it).

    Raises:
        SpecError: a sweep of that name exists and is another one; the message says what differs.
    """
    prepared = prepare(spec)
    if prepared.layout.storage.exists(prepared.layout.spec):
        found = Sweep(prepared.layout.storage.display)
        changed = differences(found.spec, prepared.spec)
        if changed:
            raise SpecError(
                f"{found.path} exists and is another {found.spec.kind}: {'; '.join(changed)}. Choose another --name, "
                f"or go on with it: raybayes resume {found.path}."
            )
        if found.spec.kind == "train" and "COMPLETE" in found.trials["state"].to_pylist():
            raise SpecError(f"{found.path} is finished; choose another --name to train again.")
        _same_space(found, prepared.plan.space)
    else:
        ensure_writable(open_storage(prepared.spec.storage))
    return run(prepared, executor, watch, walltime)


def run(prepared: Prepared, executor: Executor, watch: Watch, walltime: str | float | None = None) -> Sweep:
    """One burst of a prepared sweep; raises as `start` does."""
    from raybayes.engine.run import PREDECESSOR_S, run_here, run_on_ray

    walltime_s = parse_duration(walltime)
    spec, layout = prepared.spec, prepared.layout
    if executor == "here" and spec.resources.workers > 1:
        raise SpecError(
            f"{spec.resources.workers} workers cannot train in one process; drop --local or use --workers 1."
        )
    if executor == "here" and spec.reuse.trials == 1 and spec.trials > 1:
        raise SpecError("one process trains all trials of a sweep without Ray; drop --local, or say --reuse.")
    if executor == "here" and spec.report_limit_s is not None:
        raise SpecError("nothing in this process can stop a trial that hangs; drop --local or the report limit.")

    def write() -> None:
        lock = BurstLock(layout)
        lock.acquire(wait_s=PREDECESSOR_S)  # a burst that is refused must not have changed the other's folder
        try:
            write_spec(layout, describe(prepared))
            keep_prior(layout, prepared.plan.prior)
        finally:
            lock.release()

    roots = catalog.roots()
    if executor == "here":
        write()
        last, told = run_here(layout, spec, prepared.plan, roots, watch, walltime_s)
    else:
        last, told = run_on_ray(layout, spec, prepared.plan, roots, watch, before=write, walltime_s=walltime_s)
    found = Sweep(layout.storage.display)
    _judge(found, last, told)
    if spec.confirm is not None and sum(last.states.values()) >= last.wanted:  # else the time was up before
        from raybayes.confirmation import confirm

        top, repeats = parse_confirm(spec.confirm)
        return confirm(found.path, top, repeats, executor=executor, watch=watch, concurrency=spec.concurrency)
    return found


def describe(prepared: Prepared) -> dict[str, Any]:
    """The document of sweep.yaml: the spec with every default, the space, the objectives, versions, the machine."""
    spec, plan = prepared.spec, prepared.plan
    return {
        **spec.model_dump(mode="json"),
        "parameters": plan.space.describe(),
        "objectives": [
            {"name": o.name, "direction": o.direction, "unit": prepared.project.metric(o.name).unit}
            for o in plan.objectives
        ],
        "fidelity": prepared.project.fidelity,
        **({"candidates": list(prepared.candidates)} if prepared.candidates else {}),
        "versions": {
            "python": platform.python_version(),
            "raybayes": __version__,
            **{package: _version(package) for package in ("ray", "torch", "optuna", "pyarrow")},
        },
        "machine": describe_machine(),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # without Ray, the in-process executor still works
        return "not installed"


def _finished(last: Progress) -> bool:
    """Whether the signal came too late to leave anything undone."""
    return sum(last.states.values()) >= last.wanted and not last.paused


def _judge(found: Sweep, last: Progress, told: signal.Signals | None) -> None:
    spec = found.spec
    if told is not None and not _finished(last):
        kind, reason = (
            (Interrupted, "interrupted") if told == signal.SIGINT else (OutOfTime, f"time is over ({told.name})")
        )
        raise kind(
            f"{reason}: {sum(last.states.values())} of {last.wanted} trials have ended, {last.paused} are put aside "
            f"with their checkpoints; go on with: raybayes resume {found.path}"
        )
    failed = last.states.get("FAIL", 0)
    ended = sum(last.states.values())
    if spec.kind == "train" and failed:
        error = found.trials["failure"].to_pylist()[0] or "no reason was kept"
        headline = error.partition("\n")[0]
        if (sentence := headline.removeprefix(_REFUSED)) != headline:
            raise RefusedDataError(f"{found.path}: {sentence}")
        raise TrialError(f"{found.path}: the training function failed: {error}")
    if ended and failed / ended > spec.failed_limit:
        errors = [error.splitlines()[0] for error in found.trials["failure"].to_pylist() if error]
        raise TrialError(
            f"{found.path}: {failed} of {ended} trials failed, more than the limit of {spec.failed_limit:.0%}; "
            f"the first one: {errors[0] if errors else 'no reason was kept'}"
        )


__all__ = ["Prepared", "Sweep", "describe", "extend", "open_sweep", "prepare", "resume", "start", "sweep", "train"]
