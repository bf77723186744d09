"""The in-process executor: trains runs in this process, without Ray. For notebooks, tests, profiling."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from raybayes.engine.controller.controller import SweepController
from raybayes.engine.messages import RunResult, TrialRun
from raybayes.engine.worker.process_group import SingleProcessGroup
from raybayes.engine.worker.run_fused import run_fused
from raybayes.engine.worker.run_trial import storage_failure, threads_per_worker, try_run_trial
from raybayes.spec.sweep_spec import Resources


class InProcessTrainer:
    """Trains the runs that a controller gives out, in this process.

    Args:
        resources: of one worker.
    """

    def __init__(self, controller: SweepController, resources: Resources) -> None:
        self._controller = controller
        self._device = torch.device("cuda:0" if resources.gpus_per_worker > 0 and torch.cuda.is_available() else "cpu")
        self._threads = threads_per_worker(resources.cpus_per_worker)

    def train(self, runs: Sequence[TrialRun]) -> None:
        """Train one run, or several at the same time, until they have ended; the controller knows how."""
        if len(runs) > 1:
            self._train_fused(runs)
            return
        error = try_run_trial(runs[0], self._controller, SingleProcessGroup(), self._device, self._threads)
        self._controller.finish(runs[0].key, error)

    def _train_fused(self, runs: Sequence[TrialRun]) -> None:
        try:
            for result in run_fused(runs, self._controller, self._device, self._threads, self._finish):
                self._finish(result)
        except Exception as error:
            if storage_failure(error) is not None:
                raise
            self._controller.unfuse([run.key for run in runs])

    def _finish(self, result: RunResult) -> None:
        self._controller.finish(result.key, None, result.attempt)
