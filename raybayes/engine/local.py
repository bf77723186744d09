"""The in-process executor: one trial after the other in this process, without Ray. For notebooks, tests, profiling."""

from __future__ import annotations

from collections.abc import Callable

import torch

from raybayes.engine.burst import Burst
from raybayes.engine.context import Alone
from raybayes.engine.perform import attempt, threads_of
from raybayes.search.progress import Progress
from raybayes.spec import Resources


def work_through(burst: Burst, resources: Resources, watch: Callable[[Progress], None]) -> None:
    """Train a burst's jobs one after the other in this process; `watch` is called after each."""
    device = torch.device("cuda:0" if resources.gpus_per_worker > 0 and torch.cuda.is_available() else "cpu")
    while (job := burst.next_job()) is not None:
        error = attempt(job, burst, Alone(), device, threads_of(resources.cpus_per_worker))
        burst.finish(job.key, error)
        watch(burst.progress())
