"""Executes what was prepared: one burst, on Ray or in this process, from its first file to the error it ends with."""

from __future__ import annotations

import platform
import signal
from collections.abc import Mapping
from contextlib import nullcontext
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal, get_args

from raybayes import catalog
from raybayes._version import __version__
from raybayes.errors import DataError, Interrupted, OutOfTime, RefusedDataError, SpecError, TrialError
from raybayes.hardware import describe_machine
from raybayes.search.progress import Progress, Watch
from raybayes.spec.sweep_spec import SweepSpec
from raybayes.store.documents import write_spec
from raybayes.store.lock import BurstLock
from raybayes.store.logs.reports import next_burst_number
from raybayes.sweeps.code import CodeStamp, stamp_of
from raybayes.sweeps.preparation import Prepared
from raybayes.sweeps.results import SweepResult

Executor = Literal["ray", "local"]
_REFUSED = f"{DataError.__name__}: "  # how a stored error starts that is about the data


def run(
    prepared: Prepared,
    executor: Executor,
    watch: Watch,
    until: float | None = None,
    stamp: Mapping[str, Any] | None = None,
) -> Progress:
    """One burst of a prepared sweep, which ends by `until` (`deadline`).

    Args:
        stamp: of the code, if it is known already.

    Returns:
        The progress at its end.

    Raises:
        ResourceError: a trial needs more than the machines have.
        RaybayesError: how the burst ended, if not in order; see `require_success`.
    """
    from raybayes.engine.controller.journal_file import reopen_failed_trials
    from raybayes.engine.run import PREDECESSOR_S, run_locally, run_on_ray

    spec, layout = prepared.spec, prepared.layout
    _require_executor(executor, spec)

    stamps: list[CodeStamp] = []

    def write() -> None:
        lock = BurstLock(layout)
        lock.acquire(wait_s=PREDECESSOR_S)  # a burst that is refused must not have changed the other's folder
        try:
            write_down(prepared)
            if prepared.reopened:
                reopen_failed_trials(layout, prepared.reopened)
            stamps.append(CodeStamp(layout, stamp if stamp is not None else stamp_of(prepared)))
        finally:
            lock.release()

    training, roots = prepared.training, prepared.roots
    try:
        if executor == "local":
            write()
            with nullcontext() if training is None else catalog.with_own(spec.project, training.project):
                last, ended_by = run_locally(layout, spec, prepared.plan, roots, watch, until)
        else:
            last, ended_by = run_on_ray(
                layout, spec, prepared.plan, roots, watch, before=write, until=until, training=training
            )
    finally:
        for each in stamps:
            each.finish()
    require_success(SweepResult(layout.storage.display), last, ended_by)
    return last


def write_down(prepared: Prepared) -> None:
    """Write sweep.yaml, and, the first time, what the sweep starts from."""
    layout, known = prepared.layout, prepared.plan.warm_start
    write_spec(layout, describe(prepared), next_burst_number(layout))
    if known.sources and not layout.storage.exists(layout.warm_start):
        layout.storage.write_bytes(layout.warm_start, known.to_json())


def describe(prepared: Prepared) -> dict[str, Any]:
    """The document of sweep.yaml: the spec with every default, the space, the objectives, versions, the machine."""
    spec, plan = prepared.spec, prepared.plan
    return {
        **spec.model_dump(mode="json"),
        "parameters": plan.space.describe(),
        "objectives": [{"name": o.name, "direction": o.direction, "unit": o.unit} for o in plan.objectives],
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


def _require_executor(executor: Executor, spec: SweepSpec) -> None:
    """Refuse what the executor cannot do; a burst on Ray checks the machines that it finds there."""
    if executor not in get_args(Executor):
        raise SpecError(f"executor: found {executor!r}; give {' or '.join(get_args(Executor))}.")
    if executor == "ray":
        return
    if spec.workers > 1:
        raise SpecError(f"{spec.workers} workers cannot train in one process; drop --local, or use --workers 1.")
    if spec.reuse.trials == 1 and spec.trials > 1:
        raise SpecError("without Ray, one process trains all trials of a sweep; drop --local or --isolate.")
    if spec.report_timeout is not None:
        raise SpecError("without Ray, nothing can stop a trial that hangs; drop --local or --report-timeout.")
    from raybayes.engine.on_ray.connect import require_fit, this_machine

    require_fit(this_machine(), spec.resources)


def _finished(last: Progress) -> bool:
    """Whether the signal came too late to leave anything undone."""
    return bool(last.stopped) or (sum(last.states.values()) >= last.wanted and not last.paused)


def require_success(found: SweepResult, last: Progress, ended_by: signal.Signals | None) -> None:
    """Raise Interrupted, OutOfTime or TrialError, according to how the burst ended.

    Args:
        found: the sweep, to be read.
        last: its progress at the end of the burst.
        ended_by: the signal that ended the burst, if one did; SIGALRM: the wall-clock limit.
    """
    spec = found.spec
    if ended_by is not None and not _finished(last):
        over = "wall-clock limit reached" if ended_by == signal.SIGALRM else f"out of time ({ended_by.name})"
        kind, reason = (Interrupted, "interrupted") if ended_by == signal.SIGINT else (OutOfTime, over)
        raise kind(
            f"{reason}: {sum(last.states.values())} of {last.wanted} trials finished; {last.paused} "
            f"{'was' if last.paused == 1 else 'were'} checkpointed and paused. "
            f"Resume with: raybayes resume {found.path}"
        )
    failed = last.states.get("FAIL", 0)
    ended = sum(last.states.values())
    if spec.kind == "train" and failed:
        error = found.trials["failure"].to_pylist()[0] or "no reason was stored"
        headline = error.partition("\n")[0]
        if (sentence := headline.removeprefix(_REFUSED)) != headline:
            raise RefusedDataError(f"{found.path}: {sentence}")
        raise TrialError(f"{found.path}: the training function failed: {error}")
    if ended and failed / ended > spec.max_failed_fraction:
        errors = [error.splitlines()[0] for error in found.trials["failure"].to_pylist() if error]
        raise TrialError(
            f"{found.path}: {failed} of {ended} trials failed, more than the limit of {spec.max_failed_fraction:.0%}; "
            f"the first failure: {errors[0] if errors else 'no reason was stored'}"
        )
