"""Runs what was prepared: a burst on Ray or in this process, from the first thing written to the verdict on its end."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Literal, get_args

from raybayes import catalog
from raybayes.clock import WALL
from raybayes.errors import DataError, Interrupted, OutOfTime, RefusedDataError, SpecError, TrialError
from raybayes.search.progress import Progress
from raybayes.space import Space
from raybayes.spec.options import OPTIONS
from raybayes.spec.reading import parse_confirm
from raybayes.spec.sweep_spec import SweepSpec, differences
from raybayes.store.documents import write_spec
from raybayes.store.filesystem import ensure_writable, open_storage
from raybayes.store.lock import BurstLock
from raybayes.sweeps.preparation import Prepared, describe, prepare
from raybayes.sweeps.results import Sweep
from raybayes.sweeps.warm_start import store_warm_start

Executor = Literal["ray", "local"]
Watch = Callable[[Progress], None]
_REFUSED = f"{DataError.__module__}.{DataError.__name__}: "  # how a stored error starts that is about the data


def silent(progress: Progress) -> None:
    """Show nothing."""


def start(
    spec: SweepSpec, executor: Executor = "ray", watch: Watch = silent, walltime: str | float | None = None
) -> Sweep:
    """Run a spec: a new sweep, or the same one again (which goes on with it).

    Raises:
        SpecError: a sweep of that name exists and is another one; the message says what differs.
        ResourceError: a trial needs more than the machines have.
    """
    until = deadline(walltime)
    prepared = prepare(spec)
    if prepared.layout.storage.exists(prepared.layout.spec):
        found = Sweep(prepared.layout.storage.display)
        changed = differences(found.spec, prepared.spec)
        if changed:
            joined = "\n  ".join(changed)
            raise SpecError(
                f"{found.path} exists and is another {found.spec.kind}:\n  {joined}\nChoose another --name, "
                f"or go on with it: raybayes resume {found.path}."
            )
        if found.spec.kind == "train" and "COMPLETE" in found.trials["state"].to_pylist():
            raise SpecError(f"{found.path} is finished; choose another --name to train again.")
        require_same_space(found, prepared.plan.space)
    else:
        ensure_writable(open_storage(prepared.spec.storage))
    return run(prepared, executor, watch, until)


def deadline(walltime: str | float | None) -> float | None:
    """When the wall time is over, on WALL's elapsed time, if it begins now: before torch and Ray are loaded."""
    seconds = OPTIONS["walltime"].value(walltime)
    return None if seconds is None else WALL.elapsed() + seconds


def run(prepared: Prepared, executor: Executor, watch: Watch, until: float | None = None) -> Sweep:
    """One burst of a prepared sweep, over by `until` (`deadline`); raises as `start` does."""
    from raybayes.engine.run import PREDECESSOR_S, run_locally, run_on_ray

    spec, layout = prepared.spec, prepared.layout
    _require_executor(executor, spec)

    def write() -> None:
        lock = BurstLock(layout)
        lock.acquire(wait_s=PREDECESSOR_S)  # a burst that is refused must not have changed the other's folder
        try:
            write_spec(layout, describe(prepared))
            store_warm_start(layout, prepared.plan.prior)
        finally:
            lock.release()

    roots = catalog.roots()
    if executor == "local":
        write()
        last, told = run_locally(layout, spec, prepared.plan, roots, watch, until)
    else:
        last, told = run_on_ray(layout, spec, prepared.plan, roots, watch, before=write, until=until)
    found = Sweep(layout.storage.display)
    judge(found, last, told)
    if spec.confirm is not None and sum(last.states.values()) >= last.wanted:  # else the time was up before
        from raybayes.sweeps.confirmation import confirm

        top, repeats = parse_confirm(spec.confirm)
        left_s, slots = None if until is None else until - WALL.elapsed(), spec.concurrency
        return confirm(found.path, top, repeats, walltime=left_s, executor=executor, watch=watch, concurrency=slots)
    return found


def _require_executor(executor: Executor, spec: SweepSpec) -> None:
    """Whether it can do what the spec wants; a burst on Ray asks the machines that it finds there."""
    if executor not in get_args(Executor):
        raise SpecError(f"executor: found {executor!r}; give {' or '.join(get_args(Executor))}.")
    if executor == "ray":
        return
    if spec.workers > 1:
        raise SpecError(f"{spec.workers} workers cannot train in one process; drop --local or use --workers 1.")
    if spec.reuse.trials == 1 and spec.trials > 1:
        raise SpecError("one process trains all trials of a sweep without Ray; drop --local or --isolate.")
    if spec.report_timeout is not None:
        raise SpecError("nothing in this process can stop a trial that hangs; drop --local or --report-timeout.")
    from raybayes.engine.on_ray.connect import require_fit, this_machine

    require_fit(this_machine(), spec.resources)


def require_same_space(found: Sweep, space: Space) -> None:
    """SpecError with the differences if a sweep's space is not this one any more."""
    if found.space != space:
        shown = "; ".join(found.space.differences(space))
        raise SpecError(
            f"{found.path}: the search space has changed since: {shown}. Put it back, or start a new sweep."
        )


def _finished(last: Progress) -> bool:
    """Whether the signal came too late to leave anything undone."""
    return sum(last.states.values()) >= last.wanted and not last.paused


def judge(found: Sweep, last: Progress, told: signal.Signals | None) -> None:
    """Raise what the end of a burst deserves: it was told to stop, its run failed, or too many of its trials did."""
    spec = found.spec
    if told is not None and not _finished(last):
        over = "the wall time is over" if told == signal.SIGALRM else f"time is over ({told.name})"
        kind, reason = (Interrupted, "interrupted") if told == signal.SIGINT else (OutOfTime, over)
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
    if ended and failed / ended > spec.max_failed_fraction:
        errors = [error.splitlines()[0] for error in found.trials["failure"].to_pylist() if error]
        raise TrialError(
            f"{found.path}: {failed} of {ended} trials failed, more than the limit of {spec.max_failed_fraction:.0%}; "
            f"the first one: {errors[0] if errors else 'no reason was kept'}"
        )
