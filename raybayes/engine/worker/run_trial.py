"""Trains one run in this process: the inner step of every executor."""

from __future__ import annotations

import contextlib
import os
from typing import Any, TypeVar

import torch

from raybayes import catalog
from raybayes.clock import WALL
from raybayes.contract import Action, Project, Stop
from raybayes.engine.messages import Controller, RunResult, TrialRun, describe_error
from raybayes.engine.worker.context import StepBounds, TrialContext
from raybayes.engine.worker.process_group import ProcessGroup
from raybayes.engine.worker.process_state import isolate
from raybayes.errors import StoreError
from raybayes.seeds import derive

Kind = TypeVar("Kind", bound=TrialContext)


def run_trial(
    run: TrialRun, controller: Controller, group: ProcessGroup, device: torch.device, threads: int
) -> RunResult:
    """Call the project's training function until it returns, or until the sweep stops it early.

    What the training function raises passes through; `try_run_trial` turns it into a failed trial.
    """
    began = WALL.elapsed()
    project, config, context = prepare_context(run, controller, group, device, TrialContext)
    if context.attempt:  # else the run has ended already, and only its worker was started again
        with contextlib.closing(context), isolate(derive(run.seed, "global", run.trial, run.repeat), threads):
            context.times.starting = WALL.elapsed() - began
            _train(project, config, context)
    times = context.times
    times.training = WALL.elapsed() - began - times.starting - times.reporting - times.saving
    return RunResult(run.key, context.attempt, times, context.node)


def prepare_context(
    run: TrialRun, controller: Controller, group: ProcessGroup, device: torch.device, kind: type[Kind]
) -> tuple[Project, Any, Kind]:
    """Load the project, validate the configuration, make the run's context; the controller learns that it starts."""
    project, config = catalog.configured(run.project, run.config, run.roots)
    bounds = StepBounds(
        last=project.max_steps(config) if project.max_steps is not None else None,
        first_stop=project.grace_period(config) if project.grace_period is not None else 0,
    )
    return project, config, kind(run, project, controller, group, device, bounds)


def _train(project: Project, config: Any, context: TrialContext) -> None:
    try:
        project.train(config, context)
    except Stop as stop:
        if stop.action is not Action.PAUSE:
            return
    context.save()


def try_run_trial(
    run: TrialRun, controller: Controller, group: ProcessGroup, device: torch.device, threads: int
) -> str | None:
    """`run_trial`; if the training function fails, its error as text: the trial fails, the sweep continues.

    Raises:
        StoreError: the storage has failed (the disk is full, say). That is not the trial's fault, and every other
            trial would fail alike: the burst must end.
    """
    try:
        run_trial(run, controller, group, device, threads)
    except Exception as error:
        if storage_failure(error) is not None:
            raise
        return describe_error(error)
    return None


def storage_failure(error: BaseException) -> str | None:
    """What the storage said, if it is the storage that has failed; else None."""
    # Such an error has a cause; one that comes from the controller's process has Ray's attribute for it.
    cause = getattr(error, "cause", error.__cause__)
    return str(cause if isinstance(cause, StoreError) else error) if isinstance(error, StoreError) and cause else None


def threads_per_worker(cpus: float) -> int:
    """Threads of one torch operation: RAYBAYES_THREADS, else as many as the worker has CPUs."""
    wanted = os.environ.get("RAYBAYES_THREADS", "")
    return int(wanted) if wanted.isdigit() and int(wanted) > 0 else max(1, int(cpus))
