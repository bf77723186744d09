"""The in-process executor: one trial after the other in this process, without Ray. For notebooks, tests, profiling."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from raybayes.engine.controller.controller import Burst
from raybayes.engine.messages import Done, Job
from raybayes.engine.worker.context import Alone
from raybayes.engine.worker.run_fused import perform_together
from raybayes.engine.worker.run_trial import attempt, refused, threads_of
from raybayes.search.progress import Progress
from raybayes.spec.sweep_spec import Resources


def work_through(burst: Burst, resources: Resources, watch: Callable[[Progress], None]) -> None:
    """Train a burst's jobs one after the other in this process; `watch` is called after each."""
    device = torch.device("cuda:0" if resources.gpus_per_worker > 0 and torch.cuda.is_available() else "cpu")
    threads = threads_of(resources.cpus_per_worker)
    while jobs := burst.next_jobs(burst.waiting):
        if len(jobs) > 1:
            _train_together(jobs, burst, device, threads)
        else:
            error = attempt(jobs[0], burst, Alone(), device, threads)
            burst.finish(jobs[0].key, error)
        watch(burst.progress())


def _train_together(jobs: Sequence[Job], burst: Burst, device: torch.device, threads: int) -> None:
    def ended(done: Done) -> None:
        burst.finish(done.key, None, done.attempt)

    try:
        for done in perform_together(jobs, burst, device, threads, ended):
            ended(done)
    except Exception as error:
        if refused(error) is not None:
            raise
        burst.apart([job.key for job in jobs])
