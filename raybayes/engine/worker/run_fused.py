"""Trains several runs at the same time in this process, where their project supports it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence

import torch

from raybayes.clock import WALL, Clock
from raybayes.contract import Action, State, Stop
from raybayes.engine.messages import Controller, RunResult, TrialRun
from raybayes.engine.worker.context import TrialContext
from raybayes.engine.worker.process_group import SingleProcessGroup
from raybayes.engine.worker.process_state import isolate
from raybayes.engine.worker.run_trial import prepare_context
from raybayes.seeds import derive

OnRunEnd = Callable[[RunResult], None]


class FusedContext(TrialContext):
    """The context of one of several runs; that it ends does not end the others.

    Attributes:
        on_stop: called with this context when its run is stopped before its training function has returned.
    """

    on_stop: Callable[[FusedContext], None]

    def report(self, metrics: Mapping[str, float], state: Callable[[], State] | None = None) -> None:
        try:
            super().report(metrics, state)
        except Stop as stop:
            if stop.action is Action.PAUSE:
                self.save()
            self.on_stop(self)
            raise


class FusedContexts:
    """The runs of a process that are still in training, and each one's share of its time.

    Args:
        on_run_end: gets the runs that end before the last ones, one by one.
    """

    def __init__(self, on_run_end: OnRunEnd, clock: Clock = WALL) -> None:
        self._on_run_end, self._clock = on_run_end, clock
        self._training: dict[FusedContext, TrialRun] = {}
        self._all: list[FusedContext] = []
        self._since = self._not_training = 0.0

    def begin(self, members: Sequence[tuple[TrialRun, FusedContext]]) -> None:
        """The training function is about to be called with these runs."""
        self._training = {context: run for run, context in members}
        self._all = list(self._training)
        self._since = self._clock.elapsed()
        for context in self._all:
            context.on_stop = self._stop_one

    def _stop_one(self, context: FusedContext) -> None:
        self._on_run_end(self._end(context))

    def end_all(self) -> list[RunResult]:
        """End the runs that are left: their training function has returned."""
        for context in self._training:
            context.save()
        return [self._end(context) for context in list(self._training)]

    def _end(self, context: FusedContext) -> RunResult:
        self._share_time()
        run = self._training.pop(context)
        context.close()
        return RunResult(run.key, context.attempt, context.times, context.node)

    def _share_time(self) -> None:
        """Divide the training time since the last end equally among the runs that took part in it."""
        now = self._clock.elapsed()
        not_training = sum(context.times.reporting + context.times.saving for context in self._all)
        training = now - self._since - (not_training - self._not_training)
        for context in self._training:
            context.times.training += training / len(self._training)
        self._since, self._not_training = now, not_training


def run_fused(
    runs: Sequence[TrialRun], controller: Controller, device: torch.device, threads: int, on_run_end: OnRunEnd
) -> list[RunResult]:
    """Train runs that their project can train at the same time; what the training function raises passes through.

    Args:
        on_run_end: gets each run that the sweep stops early.

    Returns:
        The results of the runs that were trained until the training function returned.
    """
    began = WALL.elapsed()
    fused, members, configs = FusedContexts(on_run_end), [], []
    with contextlib.ExitStack() as stack:
        for run in runs:
            project, config, context = prepare_context(run, controller, SingleProcessGroup(), device, FusedContext)
            stack.callback(context.close)
            if context.attempt:  # else the run has ended already
                members.append((run, context))
                configs.append(config)
        if not members:
            return []
        first = members[0][0]
        stack.enter_context(isolate(derive(first.seed, "global", first.trial, first.repeat), threads))
        for _, context in members:
            context.times.starting = (WALL.elapsed() - began) / len(members)
        fused.begin(members)
        assert project.fusion is not None, "the controller fuses runs only where their project supports it"
        project.fusion.train(configs, [context for _, context in members])
        return fused.end_all()
