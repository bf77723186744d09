"""Decides what a report means for its trial: continue, stop, write a checkpoint."""

from __future__ import annotations

from raybayes.contract import Action
from raybayes.engine.controller.pbt import Evolution
from raybayes.engine.controller.state import SweepState
from raybayes.engine.messages import Decision, Key, Report
from raybayes.search.outcomes.outcome import describe_non_finite
from raybayes.search.plan import Plan


class ReportHandler:
    """Decides by the plan's scheduler and the curves of all trials. This is where a trial is pruned."""

    def __init__(self, plan: Plan, state: SweepState, evolution: Evolution | None) -> None:
        self._plan, self._state, self._evolution = plan, state, evolution

    def decide(self, key: Key, report: Report, stopping: bool) -> Decision:
        """The answer to a report.

        Args:
            stopping: whether the burst is about to end.
        """
        number, repeat = key
        if describe_non_finite(report.metrics, self._plan.objectives):
            return Decision(Action.FAIL)
        if self._state.is_closed(number):  # another repeat of the trial has failed or was pruned meanwhile
            return Decision(Action.PRUNE)
        if repeat == 0 and all(objective.name in report.metrics for objective in self._plan.objectives):
            self._state.extend_curve(number, report)
            if not (report.last or report.early):
                if self._evolution is not None and not stopping:
                    return self._evolution.decide(number, report.step)
                if not self._plan.scheduler.should_continue(self._state.curves, number, report.step):
                    return Decision(Action.PRUNE)
        if stopping and not report.last:
            return Decision(Action.PAUSE, checkpoint=True)
        return Decision()
