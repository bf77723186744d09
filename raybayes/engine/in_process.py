"""The in-process executor: trains runs in this process, without Ray. For notebooks, tests, profiling."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from raybayes.clock import WALL
from raybayes.engine.controller.controller import SweepController
from raybayes.engine.messages import Decision, Key, Report, RunResult, Start, TrialRun
from raybayes.engine.worker.process_group import SingleProcessGroup
from raybayes.engine.worker.run_fused import run_fused
from raybayes.engine.worker.run_trial import storage_failure, threads_per_worker, try_run_trial
from raybayes.search.progress import Watch
from raybayes.spec.sweep_spec import Resources

SHOW_S = 0.5  # between two looks at the progress of a run


class _WatchedReports:
    """The controller as a run sees it; what it decides on a report is shown, at most every half second."""

    def __init__(self, controller: SweepController, watch: Watch) -> None:
        self._controller, self._watch, self._shown = controller, watch, WALL.elapsed() - SHOW_S

    def start_run(self, key: Key, node: str) -> Start:
        start = self._controller.start_run(key, node)
        self._show_again()
        return start

    def on_report(self, key: Key, report: Report) -> Decision:
        decision = self._controller.on_report(key, report)
        self._show_again()
        return decision

    def before_checkpoint(self, key: Key, step: int) -> None:
        self._controller.before_checkpoint(key, step)

    def show(self) -> None:
        """Show the progress now."""
        self._shown = WALL.elapsed()
        self._watch(self._controller.progress())

    def _show_again(self) -> None:
        if WALL.elapsed() - self._shown >= SHOW_S:
            self.show()


class InProcessTrainer:
    """Trains the runs that a controller gives out, in this process.

    Args:
        resources: of one worker.
        watch: gets the progress while a run is trained, at its reports, and after it.
    """

    def __init__(self, controller: SweepController, resources: Resources, watch: Watch) -> None:
        self._controller, self._reports = controller, _WatchedReports(controller, watch)
        self._device = torch.device("cuda:0" if resources.gpus_per_worker > 0 and torch.cuda.is_available() else "cpu")
        self._threads = threads_per_worker(resources.cpus_per_worker)

    def train(self, runs: Sequence[TrialRun]) -> None:
        """Train one run, or several at the same time, until they have ended; the controller knows how."""
        if len(runs) > 1:
            self._train_fused(runs)
            return
        error = try_run_trial(runs[0], self._reports, SingleProcessGroup(), self._device, self._threads)
        self._controller.finish(runs[0].key, error)
        self._reports.show()

    def _train_fused(self, runs: Sequence[TrialRun]) -> None:
        try:
            for result in run_fused(runs, self._reports, self._device, self._threads, self._finish):
                self._finish(result)
        except Exception as error:
            if storage_failure(error) is not None:
                raise
            self._controller.unfuse([run.key for run in runs])
        self._reports.show()

    def _finish(self, result: RunResult) -> None:
        self._controller.finish(result.key, None, result.attempt)
