"""What a report means for its trial: go on, stop, write a checkpoint."""

from __future__ import annotations

from raybayes.contract import Action
from raybayes.engine.controller.pbt import Evolution
from raybayes.engine.controller.state import SweepState
from raybayes.engine.messages import Decision, Key, Report
from raybayes.search.outcomes.outcome import not_finite
from raybayes.search.plan import Plan


class ReportHandler:
    """Decides by the plan's scheduler and what the books know of the other trials."""

    def __init__(self, plan: Plan, state: SweepState, evolution: Evolution | None) -> None:
        self._plan, self._state, self._evolution = plan, state, evolution

    def decide(self, key: Key, report: Report, stopping: bool) -> Decision:
        """The answer to a report, which the books know by now.

        Args:
            stopping: whether the burst is at its end.
        """
        number, repeat = key
        if not_finite(report.metrics, self._plan.objectives):
            return Decision(Action.FAIL)
        if number in self._state.closed:  # another repeat of the trial has failed or was pruned meanwhile
            return Decision(Action.PRUNE)
        if repeat == 0 and all(objective.name in report.metrics for objective in self._plan.objectives):
            self._state.remember(number, report)
            if not (report.last or report.early):
                if self._evolution is not None and not stopping:
                    return self._evolution.judge(number, report.step)
                if not self._plan.scheduler.goes_on(self._state.curves, number, report.step):
                    return Decision(Action.PRUNE)
        if stopping and not report.last:
            return Decision(Action.PAUSE, checkpoint=True)
        return Decision()
