"""The Python door: `rb.sweep`, `rb.train`, `rb.resume`, `rb.extend`, `rb.confirm`, `rb.open_sweep`.

Each call checks its options, prepares the sweep once, executes a burst, and returns the sweep. The command line goes
through the same functions.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Unpack

from pydantic import BaseModel

from raybayes.clock import WALL
from raybayes.errors import SpecError
from raybayes.reporting.watching import watching
from raybayes.search.progress import Watch
from raybayes.space import Space
from raybayes.spec.component import Component
from raybayes.spec.options import OPTIONS, Path, options_at, require_known
from raybayes.spec.reading import parse_confirm
from raybayes.spec.signatures import (
    ConfirmOptions,
    ExtendOptions,
    ResumeOptions,
    SweepOptions,
    TrainOptions,
    takes,
)
from raybayes.spec.sweep_spec import SweepSpec, make_spec
from raybayes.spec.validation import build
from raybayes.sweeps import confirmation
from raybayes.sweeps.code import require_same_code, stamp_of
from raybayes.sweeps.execution import Executor, run
from raybayes.sweeps.importing import import_as
from raybayes.sweeps.own import Trainable, own_training, require_whole, stored_training
from raybayes.sweeps.preparation import Prepared, prepare_resume, prepare_start
from raybayes.sweeps.results import SweepResult
from raybayes.sweeps.retrying import failed_trials
from raybayes.sweeps.trust import require_trusted
from raybayes.training.own import OwnTraining

_LOG = logging.getLogger("raybayes.sweep")


class Sweep(SweepResult):
    """A sweep or run: everything that it has found (`SweepResult`), and what can be done with it next.

    Args:
        path: its folder or URI.
        keep: what must live as long as this object does: a temporary folder.

    Raises:
        StoreError: there is no sweep, or a newer raybayes wrote it.
    """

    def resume(self, *, watch: Watch | bool = True, **options: Unpack[ResumeOptions]) -> Sweep:
        """Finish what is unfinished; see `raybayes.resume`."""
        return resume(self.path, watch=watch, **options)

    def extend(self, trials: int, *, watch: Watch | bool = True, **options: Unpack[ExtendOptions]) -> Sweep:
        """Add more trials; see `raybayes.extend`."""
        return extend(self.path, trials, watch=watch, **options)

    def confirm(
        self, top: int = 5, repeats: int = 5, *, watch: Watch | bool = True, **options: Unpack[ConfirmOptions]
    ) -> Sweep:
        """Repeat the best `top` trials over `repeats` fresh seeds; see `raybayes.confirm`."""
        return confirm(self.path, top, repeats, watch=watch, **options)


@takes("train")
def train(
    project: Trainable,
    config: Mapping[str, Any] | None = None,
    *,
    watch: Watch | bool = True,
    **options: Unpack[TrainOptions],
) -> Sweep:
    """Train one configuration.

    Args:
        project: a name that `raybayes projects` lists; or your own training: see `sweep`.
        config: values that differ from the project's defaults, by dotted names or nested.
        watch: True shows the progress: below a notebook's cell, else on the terminal; False shows nothing; a function
            is called with it about twice a second.
        options: see below.

    Returns:
        The run: `.reports`, `.table(name)`, `.path`.

    Raises:
        RaybayesError: the sentences that the command line prints; `TrialError` if the training function failed, of
            the kind `RefusedDataError` if it refused its data; `OutOfTime` at the end of `walltime`: the same call
            resumes the run.
    """
    training, values = own_training(project, {"config": config, **options})
    values, executor, walltime = _apart(values)
    own = None if training is None else training.describe()
    spec = make_spec("train", values, "train", kind="train", trials=1, sampler="random", training=own)
    return start(spec, executor, watch, walltime, training)


@takes("sweep")
def sweep(
    project: Trainable,
    *,
    Config: type[BaseModel] | None = None,
    watch: Watch | bool = True,
    **options: Unpack[SweepOptions],
) -> Sweep:
    """Search a project's space, or your own training.

    Args:
        project: a name that `raybayes projects` lists; or what to train: a function `train(config)` that returns a
            number or a mapping, yields mappings, or calls `rb.report`; `train(config, ctx)`; a reference to one,
            "train.py:train"; the words of a command, with {name} for parameters. These need `space` and `objective`.
        Config: a pydantic model that a function gets in place of a dictionary.
        watch: True shows the progress: below a notebook's cell, else on the terminal; False shows nothing; a function
            is called with it about twice a second.
        options: see below.

    Returns:
        The sweep: `.best`, `.trials`, `.pareto`, `.importances()`, `.report()`.

    Raises:
        RaybayesError: the sentences that the command line prints; `TrialError` if more than `max_failed_fraction` of
            the trials failed, `OutOfTime` at the end of `walltime`: the same call resumes the sweep.
    """
    training, values = own_training(project, options, Config)
    values, executor, walltime = _apart(values)
    own = None if training is None else training.describe()
    return start(make_spec("sweep", values, "sweep", training=own), executor, watch, walltime, training)


def start(
    spec: SweepSpec,
    executor: Executor = "ray",
    watch: Watch | bool = True,
    walltime: Any = None,
    training: OwnTraining | None = None,
) -> Sweep:
    """Run a spec: a new sweep, or the same one again, which resumes it.

    Args:
        spec: what was asked for.
        executor: "ray", or "local" for this process without Ray.
        watch: True shows the progress: below a notebook's cell, else on the terminal; False shows nothing; a function
            is called with it about twice a second.
        walltime: seconds, or a duration such as "2h", after which the burst ends; None: no limit.
        training: what is trained, if it is not in the catalogue.

    Raises:
        SpecError: a sweep of that name exists and is another one; the message says what differs.
        ResourceError: a trial needs more than the machines have.
    """
    until = _deadline(walltime)  # the limit counts from here: preparing loads torch
    if training is not None:
        training = replace(training, checkpoint_every=spec.checkpoint_every)
    with watching(watch, spec.name) as shown:
        return _execute(prepare_start(spec, training), executor, shown, until)


def _execute(
    prepared: Prepared, executor: Executor, watch: Watch, until: float | None, stamp: Mapping[str, Any] | None = None
) -> Sweep:
    """One burst, and the confirmation that the spec asks for once every trial is finished."""
    if prepared.plan.repeating:
        _LOG.warning(prepared.plan.repeating)
    last, spec = run(prepared, executor, watch, until, stamp), prepared.spec
    found = Sweep(prepared.layout.storage.display)
    over = last.stopped or sum(last.states.values()) >= last.wanted
    if spec.confirm is None or not over:  # the time budget was up before
        return found
    top, repeats = parse_confirm(spec.confirm)
    changes = {"concurrency": spec.concurrency}
    confirmation.confirm(found, top, repeats, changes, executor, watch, until, prepared.training)
    return Sweep(found.path)


@takes("sweep")
def import_trials(
    source: Path,
    project: Trainable | None = None,
    *,
    study: str | None = None,
    skip_misfits: bool = False,
    Config: type[BaseModel] | None = None,
    **options: Unpack[SweepOptions],
) -> Sweep:
    """Make a sweep of finished trials from elsewhere: shown, reported, extended and learnt from as any other.

    Args:
        source: a CSV or Parquet file with a column per parameter and objective, or the URL of an Optuna storage such as
            "sqlite:///old.db".
        project: as in `sweep`; None: a training that is not at hand, of which `space` and `objective` are given.
        study: the name of the study in the storage, if it has several.
        skip_misfits: leave out the rows that do not fit, instead of refusing them all.
        Config: as in `sweep`.
        options: see below; what is a matter of a burst holds for later bursts.

    Raises:
        SpecError: a column or the study does not fit, or rows do not: each with row, column, value and range.
        DataError: the file cannot be read.
    """
    return Sweep(import_as(source, project, study, skip_misfits, options, Config).path)


def open_sweep(path: Path) -> Sweep:
    """Read a sweep or a run from its folder or URI, without Ray. Raises StoreError if there is none."""
    return Sweep(path)


@takes("resume")
def resume(
    path: Path,
    *,
    train: Callable[..., Any] | None = None,
    space: Space | None = None,
    sampler: object = None,
    watch: Watch | bool = True,
    **options: Unpack[ResumeOptions],
) -> Sweep:
    """Resume a sweep where an interruption left it: unfinished trials first, from their last checkpoints.

    Args:
        path: the sweep's folder or URI.
        train: the function of a sweep that was begun with one, which is not stored with it.
        space: the space of your own training again, where its `require` holds a function, which is not stored either.
        sampler: the same for a sampler object.
        watch: True shows the progress: below a notebook's cell, else on the terminal; False shows nothing; a function
            is called with it about twice a second.
        options: what changes from now on; what is not given stays as it was. See below.

    Raises:
        SpecError: a change of what the sweep is (project, space, objective, ...).
        ResourceError: a trial needs more than the machines have.
    """
    changes, executor, walltime = _apart(options)
    retry = OPTIONS["retry_failed"].value(changes.pop("retry_failed", False))
    code_changed = changes.pop("code_changed", False) or bool(retry)  # the mended mistake was in the code, as a rule
    until, found = _deadline(walltime), SweepResult(path)
    require_trusted(found, changes.pop("allow_import", None))
    with watching(watch, found.path) as shown:
        own = found.spec.training is not None
        if space is not None and not own:
            changes["space"] = space  # refused there, with what the sweep has
        training = stored_training(found, train, space if own else None)
        if found.spec.kind == "confirm":
            require_known("confirm", [*changes, *(["retry_failed"] if retry else [])])
            return Sweep(confirmation.resume_stage(found, changes, executor, shown, until, training))
        require_whole(training)
        prepared = prepare_resume(_changed(found, changes, sampler), found, training)
        prepared = replace(prepared, reopened=failed_trials(found, retry))
        stamp = stamp_of(prepared)
        if not code_changed:
            require_same_code(prepared.layout, stamp, found.path)
        return _execute(prepared, executor, shown, until, stamp)


@takes("extend")
def extend(
    path: Path,
    trials: int,
    *,
    train: Callable[..., Any] | None = None,
    space: Space | None = None,
    sampler: object = None,
    watch: Watch | bool = True,
    **options: Unpack[ExtendOptions],
) -> Sweep:
    """Add trials to a sweep, after its unfinished ones.

    Args:
        path: the sweep's folder or URI.
        trials: how many more.
        train, space, sampler: as in `resume`.
        watch: True shows the progress: below a notebook's cell, else on the terminal; False shows nothing; a function
            is called with it about twice a second.
        options: as in `resume`.
    """
    if trials < 1:
        raise SpecError(f"trials: found {trials}; extend by 1 or more.")
    wanted = SweepResult(path).spec.trials + trials
    return resume(path, train=train, space=space, sampler=sampler, trials=wanted, watch=watch, **options)


@takes("confirm")
def confirm(
    path: Path,
    top: int = 5,
    repeats: int = 5,
    *,
    train: Callable[..., Any] | None = None,
    watch: Watch | bool = True,
    **options: Unpack[ConfirmOptions],
) -> Sweep:
    """Repeat the best `top` configurations of a sweep over up to `repeats` fresh seeds each.

    Clear losers stop early. A confirmation that was interrupted is resumed; one that was done with the same
    candidates and seeds is not repeated.

    Args:
        path: the sweep's folder or URI.
        top: candidates, from 1.
        repeats: fresh seeds per candidate, from 2.
        train: as in `resume`.
        watch: True shows the progress: below a notebook's cell, else on the terminal; False shows nothing; a function
            is called with it about twice a second.
        options: what differs from the sweep. See below.

    Returns:
        The sweep, whose `best`, `trials` and `best_summary` now rest on the means over the fresh seeds.

    Raises:
        SpecError: fewer than one candidate or two seeds; another confirmation of the sweep is unfinished.
        StoreError: the sweep has no finished trial that satisfies its constraints, or a burst still works on it.
    """
    changes, executor, walltime = _apart(options)
    until, found = _deadline(walltime), SweepResult(path)
    require_trusted(found, changes.pop("allow_import", None))
    training = stored_training(found, train)
    with watching(watch, found.path) as shown:
        confirmation.confirm(found, top, repeats, changes, executor, shown, until, training)
    return Sweep(path)


def _deadline(walltime: Any) -> float | None:
    """When a wall-clock limit that starts now is reached, on WALL's elapsed time; None: never. Raises SpecError."""
    seconds: float | None = OPTIONS["walltime"].value(walltime)
    return None if seconds is None else WALL.elapsed() + seconds


def _apart(options: Mapping[str, Any]) -> tuple[dict[str, Any], Executor, Any]:
    """What the sweep keeps, and what holds for one call: the executor and the wall-clock limit."""
    stored = dict(options)
    executor: Executor = stored.pop("executor", "ray")
    return stored, executor, stored.pop("walltime", None)


def _changed(found: SweepResult, changes: Mapping[str, Any], sampler: object) -> SweepSpec:
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
    if sampler is not None:
        again, stored = Component.parse(sampler), found.spec.sampler
        if (again.name, again.options) != (stored.name, stored.options):
            raise SpecError(f"sampler: {found.path} draws with {stored}; give it again, or leave sampler out.")
        old["sampler"] = again
    fixed = {**old["fixed_params"], **(changes.get("fixed_params") or {})}
    return build(SweepSpec, {**old, **changes, "fixed_params": fixed}, f"resume {found.path}")


__all__ = [
    "Executor",
    "Sweep",
    "Watch",
    "confirm",
    "extend",
    "import_trials",
    "open_sweep",
    "resume",
    "start",
    "sweep",
    "train",
]
