"""How a trial ends: what follows when one of its runs has ended, and when its worker was lost."""

from __future__ import annotations

from raybayes.engine.controller.queue import TrialQueue
from raybayes.engine.controller.state import SweepState
from raybayes.engine.controller.trial_state import ActiveRun, TrialState
from raybayes.search.outcomes.cause import Cause, find_cause
from raybayes.search.outcomes.outcome import State, decide_outcome
from raybayes.search.plan import Plan
from raybayes.spec.sweep_spec import SweepSpec
from raybayes.store.logs import attempts

_ENDS = {
    State.COMPLETE: attempts.COMPLETE,
    State.PRUNED: attempts.PRUNED,
    State.FAIL: attempts.FAILED,
    State.PAUSED: attempts.PAUSED,
}


class TrialFinalizer:
    """Closes trials, or queues what they still need."""

    def __init__(self, spec: SweepSpec, plan: Plan, state: SweepState, queue: TrialQueue) -> None:
        self._spec, self._plan, self._state, self._queue = spec, plan, state, queue

    def on_run_end(self, active: ActiveRun, error: str | None, stopping: bool) -> None:
        """A run's training function has returned, or has raised `error`.

        Args:
            active: the run, which no slot has any more.
            stopping: whether the burst is about to end; then a paused trial is left for the next one.
        """
        trial, progress = active.trial, active.progress
        active.state.seconds = progress.seconds
        if self._state.is_closed(trial.number):
            self._log_end(active, attempts.NEEDLESS)
            return
        outcome = decide_outcome(active.action, progress.metrics, self._plan.objectives, error, active.cause)
        self._log_end(active, _ENDS[outcome.state], outcome.error)
        if outcome.state is State.PAUSED:
            trial.paused_step = progress.step
            self._state.note_pause(trial, progress.step)
            if not stopping:
                self._queue.add_repeat(trial, active.run.repeat)
        elif outcome.state is State.COMPLETE:
            active.state.metrics = dict(progress.metrics)
            self._on_result(trial, progress.step)
        else:
            self._state.close_trial(trial.number, progress.step, progress.metrics, outcome)
            self._queue.drop_trial(trial.number)

    def _on_result(self, trial: TrialState, step: int) -> None:
        """A repeat has ended normally: close the trial, or queue its other repeats."""
        results, lost = trial.results, self._state.lost_candidates()
        pending = self._queue.repeats_of(trial.number) | self._state.active_repeats(trial.number)
        if len(results) < self._spec.repeats and trial.number not in lost:
            self._state.note_results(trial)
            for repeat in range(self._spec.repeats):
                if repeat not in results and repeat not in pending:
                    self._queue.add_repeat(trial, repeat)
        else:
            self._complete(trial.number, step)
        for other in sorted(lost):
            # A beaten candidate of a race whose repeats are in training is closed when they have ended.
            if not self._state.is_closed(other) and not self._state.active_repeats(other):
                self._complete(other, step)

    def _complete(self, number: int, step: int) -> None:
        self._state.complete(number, step)
        self._queue.drop_trial(number)

    def on_worker_lost(self, active: ActiveRun, now: float, counts: bool, reason: str) -> str | None:
        """A run's worker is lost: the error that fails the run, or None if it is queued again."""
        failures = active.state.failures
        if active.process is not None:
            self._log_end(active, attempts.end_of_loss(reason), reason)
        error = failures.on_loss(now, counts, self._spec.retries, reason)
        if error is not None:
            active.cause = Cause.MEMORY if find_cause(reason) is Cause.MEMORY else Cause.MACHINE
        if error is None and not self._state.is_closed(active.trial.number):
            self.requeue(active, now + failures.pause_s)
        return error

    def _log_end(self, active: ActiveRun, end: str, cause: str | None = None) -> None:
        self._state.attempts.on_end(*active.key, active.state.attempts, end, cause)

    def requeue(self, active: ActiveRun, not_before: float) -> None:
        """Take an interrupted run from its slot; another slot continues it from its last checkpoint."""
        self._log_end(active, attempts.REQUEUED)
        self._state.deactivate(active.key, interrupted=True)
        if not self._state.is_closed(active.trial.number):
            self._queue.put_back(active.run, active.trial, not_before)
