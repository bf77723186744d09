"""Trains one job in this process: the inner step of every executor."""

from __future__ import annotations

import contextlib
import os
from typing import Any, TypeVar

import torch

from raybayes import catalog
from raybayes.clock import WALL
from raybayes.contract import Action, Project, Stop
from raybayes.engine.messages import Controller, RunResult, TrialRun, describe_error
from raybayes.engine.worker.context import ProcessGroup, TrialContext
from raybayes.engine.worker.process_state import isolated
from raybayes.errors import StoreError
from raybayes.seeds import derive

Kind = TypeVar("Kind", bound=TrialContext)


def run_trial(
    job: TrialRun, controller: Controller, group: ProcessGroup, device: torch.device, threads: int
) -> RunResult:
    """Run the project's training function to its end, or to the sweep's early end of it.

    Whatever the training function raises passes through; `attempt` turns it into a failed trial.
    """
    began = WALL.elapsed()
    project, config, worker = prepared(job, controller, group, device, TrialContext)
    if worker.attempt:  # else the desk knows the end of this job; only its worker was started again
        with contextlib.closing(worker), isolated(derive(job.seed, "global", job.trial, job.repeat), threads):
            worker.spent.starting = WALL.elapsed() - began
            _train(project, config, worker)
    spent = worker.spent
    spent.training = WALL.elapsed() - began - spent.starting - spent.reporting - spent.saving
    return RunResult(job.key, worker.attempt, spent, worker.node)


def prepared(
    job: TrialRun, controller: Controller, group: ProcessGroup, device: torch.device, kind: type[Kind]
) -> tuple[Project, Any, Kind]:
    """The project, the configuration and the worker of a job; the desk knows now that it begins."""
    project, config = catalog.configured(job.project, job.config, job.roots)
    steps = project.max_steps(config) if project.max_steps is not None else None
    grace_period = project.grace_period(config) if project.grace_period is not None else 0
    return project, config, kind(job, project, controller, group, device, steps, grace_period)


def _train(project: Project, config: Any, worker: TrialContext) -> None:
    try:
        project.train(config, worker)
    except Stop as stop:
        if stop.action is not Action.PAUSE:
            return
    worker.save()


def attempt(
    job: TrialRun, controller: Controller, group: ProcessGroup, device: torch.device, threads: int
) -> str | None:
    """`run_trial`, and the error as text if the training function failed: the trial fails, the sweep goes on.

    Raises:
        StoreError: the storage has refused something (it is full, say). That is not the trial's fault, and no other
            trial would fare better: the burst must end.
    """
    try:
        run_trial(job, controller, group, device, threads)
    except Exception as error:
        if refused(error) is not None:
            raise
        return describe_error(error)
    return None


def refused(error: BaseException) -> str | None:
    """What the storage said, if it has refused something."""
    # It has a cause where the storage is it; one that comes from the desk has Ray's name for it.
    cause = getattr(error, "cause", error.__cause__)
    return str(cause if isinstance(cause, StoreError) else error) if isinstance(error, StoreError) and cause else None


def threads_of(cpus: float) -> int:
    """Threads of one worker: what the allocation says, else as many as its CPUs."""
    told = os.environ.get("RAYBAYES_THREADS", "")
    return int(told) if told.isdigit() and int(told) > 0 else max(1, int(cpus))
