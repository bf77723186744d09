"""The in-process executor: one trial after the other in this process, without Ray. For notebooks, tests, profiling."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from raybayes.engine.controller.controller import SweepController
from raybayes.engine.messages import RunResult, TrialRun
from raybayes.engine.worker.context import SingleProcessGroup
from raybayes.engine.worker.run_fused import run_fused
from raybayes.engine.worker.run_trial import attempt, refused, threads_of
from raybayes.search.progress import Progress
from raybayes.spec.sweep_spec import Resources


def work_through(controller: SweepController, resources: Resources, watch: Callable[[Progress], None]) -> None:
    """Train a burst's jobs one after the other in this process; `watch` is called after each."""
    device = torch.device("cuda:0" if resources.gpus_per_worker > 0 and torch.cuda.is_available() else "cpu")
    threads = threads_of(resources.cpus_per_worker)
    while jobs := controller.next_jobs(controller.waiting):
        if len(jobs) > 1:
            _train_together(jobs, controller, device, threads)
        else:
            error = attempt(jobs[0], controller, SingleProcessGroup(), device, threads)
            controller.finish(jobs[0].key, error)
        watch(controller.progress())


def _train_together(jobs: Sequence[TrialRun], controller: SweepController, device: torch.device, threads: int) -> None:
    def ended(done: RunResult) -> None:
        controller.finish(done.key, None, done.attempt)

    try:
        for done in run_fused(jobs, controller, device, threads, ended):
            ended(done)
    except Exception as error:
        if refused(error) is not None:
            raise
        controller.apart([job.key for job in jobs])
