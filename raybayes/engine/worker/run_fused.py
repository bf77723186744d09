"""Trains several jobs at the same time in this process, where their project offers it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence

import torch

from raybayes.clock import WALL
from raybayes.contract import Action, State, Stop
from raybayes.engine.messages import Controller, RunResult, TrialRun
from raybayes.engine.worker.context import SingleProcessGroup, TrialContext
from raybayes.engine.worker.process_state import isolated
from raybayes.engine.worker.run_trial import prepared
from raybayes.seeds import derive

Ended = Callable[[RunResult], None]


class FusedContext(TrialContext):
    """The worker of one of several jobs: its end concerns no other.

    Attributes:
        left: called with this worker when its trial ends before its training function has returned.
    """

    left: Callable[[FusedContext], None]

    def report(self, metrics: Mapping[str, float], state: Callable[[], State] | None = None) -> None:
        try:
            super().report(metrics, state)
        except Stop as stop:
            if stop.action is Action.PAUSE:
                self.save()
            self.left(self)
            raise


class FusedContexts:
    """The jobs of a process that are still in training, and what each of them has taken of its time.

    Args:
        ended: gets the jobs that end before the last ones, one by one.
    """

    def __init__(self, ended: Ended) -> None:
        self._ended = ended
        self._at_work: dict[FusedContext, TrialRun] = {}
        self._all: list[FusedContext] = []
        self._since = self._elsewhere = 0.0

    def begin(self, members: Sequence[tuple[TrialRun, FusedContext]]) -> None:
        self._at_work = {worker: job for job, worker in members}
        self._all = list(self._at_work)
        self._since = WALL.elapsed()
        for worker in self._all:
            worker.left = self._leave

    def _leave(self, worker: FusedContext) -> None:
        self._ended(self._done(worker))

    def rest(self) -> list[RunResult]:
        """The end of all that are left: their functions have returned."""
        for worker in self._at_work:
            worker.save()
        return [self._done(worker) for worker in list(self._at_work)]

    def _done(self, worker: FusedContext) -> RunResult:
        self._share()
        job = self._at_work.pop(worker)
        worker.close()
        return RunResult(job.key, worker.attempt, worker.spent, worker.node)

    def _share(self) -> None:
        """Divide the training since the last end equally among those that took part in it."""
        now, elsewhere = WALL.elapsed(), sum(worker.spent.reporting + worker.spent.saving for worker in self._all)
        training = now - self._since - (elsewhere - self._elsewhere)
        for worker in self._at_work:
            worker.spent.training += training / len(self._at_work)
        self._since, self._elsewhere = now, elsewhere


def run_fused(
    jobs: Sequence[TrialRun], controller: Controller, device: torch.device, threads: int, ended: Ended
) -> list[RunResult]:
    """Train jobs that their project can train at the same time; the ends of those that were trained to the end.

    Args:
        ended: gets the end of each that was ended before by its sweep.

    Whatever the training function raises passes through.
    """
    began = WALL.elapsed()
    companions, members, configs = FusedContexts(ended), [], []
    with contextlib.ExitStack() as stack:
        for job in jobs:
            project, config, worker = prepared(job, controller, SingleProcessGroup(), device, FusedContext)
            stack.callback(worker.close)
            if worker.attempt:  # else the desk knows the end of this job
                members.append((job, worker))
                configs.append(config)
        if not members:
            return []
        first = members[0][0]
        stack.enter_context(isolated(derive(first.seed, "global", first.trial, first.repeat), threads))
        for _, worker in members:
            worker.spent.starting = (WALL.elapsed() - began) / len(members)
        companions.begin(members)
        assert project.fusion is not None, "the desk gives several jobs only where the project can train them together"
        project.fusion.train(configs, [worker for _, worker in members])
        return companions.rest()
