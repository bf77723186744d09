"""The Python door: `rb.train`, `rb.sweep`, `rb.resume`, `rb.extend`, `rb.open_sweep`; the command line uses it too."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Literal

from raybayes.errors import SpecError
from raybayes.search.progress import Watch
from raybayes.spec.sweep_spec import SweepSpec, default_storage, parse_duration
from raybayes.spec.validation import build
from raybayes.store.layout import Layout
from raybayes.sweeps.execution import Executor, deadline, require_same_space, run, silent, start
from raybayes.sweeps.preparation import prepare
from raybayes.sweeps.results import Sweep


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
    checkpoint_every: float = 10.0,
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
        checkpoint_every: least seconds of training between two checkpoints.
        retries: restarts after a lost worker.
        walltime: "2h", "30m" or seconds, after which the burst ends and `OutOfTime` is raised: the machine's time is
            over, the same call goes on later.
        executor: "ray", or "local" for this process without Ray (one worker).
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
        "checkpoints": {"checkpoint_every": checkpoint_every},
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
    weight: float = 1.0,
    workers: int = 1,
    cpus_per_worker: float = 1.0,
    gpus_per_worker: float = 0.0,
    storage: str | None = None,
    name: str | None = None,
    seed: int = 0,
    data: str | None = None,
    keep_checkpoints: int = 5,
    checkpoint_every: float = 10.0,
    retries: int = 2,
    isolate: bool = False,
    ask_ahead: Literal["auto", "always", "never"] = "auto",
    fuse: int | Literal["never", "auto"] = "never",
    max_failed_fraction: float = 0.5,
    report_timeout: str | float | None = None,
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
        sampler, scheduler: a name, with options if need be: "asha:eta=4,grace_period=2".
        objective: metric names; the project's own choice by default, several for a multi-objective sweep.
        constraints: bounds on metrics, e.g. {"seconds": "<= 60"}.
        repeats: seeds a configuration is run with; the objective is their mean.
        time_budget: "2h", "30m" or seconds, after which the burst ends cleanly and can be resumed.
        concurrency: trials at once; by default as many as fit on the machines by CPUs and GPUs. "auto" begins with one,
            and goes on with as many as the memory allows too, by what the largest worker has taken so far.
        weight: share of a cluster beside its other sweeps: 2 gets twice the slots of 1, counted by the resource, CPUs
            or GPUs, that a sweep has more of. What one sweep has no use for goes to the others.
        storage: as in `train`.
        keep_checkpoints: finished trials that keep their newest checkpoint: the best ones.
        checkpoint_every, retries: as in `train`.
        isolate: a process (or group of them) for each trial alone. By default a slot's processes train one trial after
            the other, which gives the same numbers and saves a second a trial, or ten with several workers.
        ask_ahead: whether configurations are looked for before a slot is free, so that none waits for the sampler:
            "auto" does it where that saves 2 % of a trial's time or more. A sweep with concurrency 1 never does, unless
            "always", and so depends on its seed alone.
        fuse: how many trials are trained at the same time in one process, on the same device, where the project can:
            at most a number, or "auto": as many as the project finds good, shared among the slots, and no more than a
            tenth of the sweep at a time with a sampler that learns from results.
        max_failed_fraction: share of failed trials above which a TrialError is raised at the end.
        report_timeout: "10m" or seconds without a report after which a trial is stopped and fails.
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
        "weight": weight,
        "resources": {"workers": workers, "cpus_per_worker": cpus_per_worker, "gpus_per_worker": gpus_per_worker},
        "storage": storage or default_storage(),
        "name": name or default_name(project),
        "seed": seed,
        "data": data,
        "checkpoints": {"keep": keep_checkpoints, "checkpoint_every": checkpoint_every},
        "retries": retries,
        "reuse": {"trials": 1} if isolate else {},
        "ask_ahead": ask_ahead,
        "fuse": fuse,
        "max_failed_fraction": max_failed_fraction,
        "report_timeout_s": parse_duration(report_timeout),
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
        changes: what may differ from burst to burst: trials, scheduler, concurrency, weight, time_budget_s, retries,
            data, checkpoints, reuse, ask_ahead, fuse, max_failed_fraction, report_timeout_s, and fixed_params:
            {parameter: value} that is fixed from now on.

    Raises:
        SpecError: a change of what the sweep is (project, space, objective, ...).
        ResourceError: a trial needs more than the machines have.
    """
    until, found = deadline(walltime), Sweep(path)
    if found.spec.kind == "confirm":
        from raybayes.sweeps.confirmation import go_on

        return go_on(found, executor, watch, until, changes)
    spec = _changed(found, changes)
    prepared = prepare(spec, Layout(found.layout.storage))
    require_same_space(found, prepared.plan.space)
    return run(prepared, executor, watch, until)


def extend(path: str, trials: int, **changes: Any) -> Sweep:
    """Add `trials` more trials to a sweep, after finishing what is unfinished; the rest as in `resume`."""
    if trials < 1:
        raise SpecError(f"trials: found {trials}; extend by 1 or more.")
    wanted = Sweep(path).spec.trials + trials
    return resume(path, trials=wanted, **changes)


_BURST = (
    "trials", "scheduler", "concurrency", "weight", "time_budget_s", "retries", "data", "checkpoints", "reuse",
    "ask_ahead", "fuse", "max_failed_fraction", "report_timeout_s", "fixed_params", "confirm",
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
    merged = {name: {**old[name], **changes.get(name, {})} for name in ("fixed_params", "checkpoints", "reuse")}
    return build(SweepSpec, {**old, **changes, **merged}, f"resume {found.path}")


def default_name(project: str) -> str:
    """A name that sorts by time: `ensembles-20260131-142501`."""
    return f"{project}-{datetime.datetime.now():%Y%m%d-%H%M%S}"


__all__ = ["Executor", "Sweep", "Watch", "default_name", "extend", "open_sweep", "resume", "start", "sweep", "train"]
