"""The Python door: `rb.train`, `rb.sweep`, `rb.resume`, `rb.extend`, `rb.open_sweep`; the command line uses it too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack

from raybayes.errors import SpecError
from raybayes.spec.options import Path, options_at, require_known
from raybayes.spec.signatures import ExtendOptions, ResumeOptions, SweepOptions, TrainOptions, takes
from raybayes.spec.sweep_spec import SweepSpec, make_spec
from raybayes.spec.validation import build
from raybayes.store.layout import Layout
from raybayes.sweeps.execution import Executor, Watch, deadline, require_same_space, run, silent, start
from raybayes.sweeps.preparation import prepare
from raybayes.sweeps.results import Sweep


@takes("train")
def train(
    project: str,
    config: Mapping[str, Any] | None = None,
    *,
    watch: Watch = silent,
    **options: Unpack[TrainOptions],
) -> Sweep:
    """Train one configuration.

    Args:
        project: a name that `raybayes projects` lists.
        config: values that differ from the project's defaults, by dotted names or nested.
        watch: called with the progress, about twice a second.
        options: see below.

    Returns:
        The run: `.reports`, `.table(name)`, `.path`.

    Raises:
        RaybayesError: the sentences that the command line prints; `TrialError` if the training function failed, of
            the kind `RefusedDataError` if it refused its data; `OutOfTime` at the end of `walltime`: the same call
            resumes the run.
    """
    values: dict[str, Any] = {"project": project, "config": config, **options}
    calls = {name: values.pop(name) for name in ("walltime", "executor") if name in values}
    spec = make_spec("train", values, "train", kind="train", trials=1, sampler="random")
    return start(spec, calls.get("executor", "ray"), watch, calls.get("walltime"))


@takes("sweep")
def sweep(project: str, *, watch: Watch = silent, **options: Unpack[SweepOptions]) -> Sweep:
    """Search a project's space.

    Args:
        project: a name that `raybayes projects` lists.
        watch: called with the progress, about twice a second.
        options: see below.

    Returns:
        The sweep: `.best`, `.trials`, `.pareto`, `.importances()`, `.report()`.

    Raises:
        RaybayesError: the sentences that the command line prints; `TrialError` if more than `max_failed_fraction` of
            the trials failed, `OutOfTime` at the end of `walltime`: the same call resumes the sweep.
    """
    values: dict[str, Any] = {"project": project, **options}
    calls = {name: values.pop(name) for name in ("walltime", "executor") if name in values}
    return start(make_spec("sweep", values, "sweep"), calls.get("executor", "ray"), watch, calls.get("walltime"))


def open_sweep(path: Path) -> Sweep:
    """Read a sweep or a run from its folder or URI, without Ray. Raises StoreError if there is none."""
    return Sweep(path)


@takes("resume")
def resume(path: Path, *, watch: Watch = silent, **options: Unpack[ResumeOptions]) -> Sweep:
    """Resume a sweep where an interruption left it: unfinished trials first, from their last checkpoints.

    Args:
        path: the sweep's folder or URI.
        watch: called with the progress, about twice a second.
        options: what changes from now on; what is not given stays as it was. See below.

    Raises:
        SpecError: a change of what the sweep is (project, space, objective, ...).
        ResourceError: a trial needs more than the machines have.
    """
    changes: dict[str, Any] = dict(options)
    calls = {name: changes.pop(name) for name in ("walltime", "executor") if name in changes}
    executor: Executor = calls.get("executor", "ray")
    until, found = deadline(calls.get("walltime")), Sweep(path)
    if found.spec.kind == "confirm":
        from raybayes.sweeps.confirmation import go_on

        require_known("confirm", changes)
        return go_on(found, executor, watch, until, changes)
    spec = _changed(found, changes)
    prepared = prepare(spec, Layout(found.layout.storage))
    require_same_space(found, prepared.plan.space)
    return run(prepared, executor, watch, until)


@takes("extend")
def extend(path: Path, trials: int, *, watch: Watch = silent, **options: Unpack[ExtendOptions]) -> Sweep:
    """Add trials to a sweep, after its unfinished ones.

    Args:
        path: the sweep's folder or URI.
        trials: how many more.
        watch, options: as in `resume`.
    """
    if trials < 1:
        raise SpecError(f"trials: found {trials}; extend by 1 or more.")
    return resume(path, trials=Sweep(path).spec.trials + trials, watch=watch, **options)


def _changed(found: Sweep, changes: Mapping[str, Any]) -> SweepSpec:
    if found.spec.kind == "replay":
        raise SpecError(f"{found.path} was simulated; call rb.simulate again with the same function to resume it.")
    allowed = [option.name for option in options_at("resume") if option.stored]
    for name, value in changes.items():
        if name not in allowed:
            raise SpecError(
                f"{name}: {getattr(found.spec, name)!r} -> {value!r} is part of what the sweep {found.path} is; start "
                f"a new sweep for it. resume can change: {', '.join(allowed)}."
            )
    old = found.spec.model_dump()
    fixed = {**old["fixed_params"], **(changes.get("fixed_params") or {})}
    return build(SweepSpec, {**old, **changes, "fixed_params": fixed}, f"resume {found.path}")


__all__ = ["Executor", "Sweep", "Watch", "extend", "open_sweep", "resume", "start", "sweep", "train"]
