"""Sweep controller: picks the next run, decides on each report, finalises trials. Independent of Ray.

A burst is one period of work on a sweep. It takes up what an earlier burst left unfinished, then asks for new trials.
Everything that it promises is on disk before anybody relies on it: a suggested trial before it starts, the reports
before the checkpoint that follows them, the end of a trial before the next one begins.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from raybayes.clock import WALL, Clock
from raybayes.contract import Action
from raybayes.engine.controller.finalizer import TrialFinalizer
from raybayes.engine.controller.pbt import Evolution
from raybayes.engine.controller.queue import TrialQueue
from raybayes.engine.controller.report_handler import ReportHandler
from raybayes.engine.controller.run_picker import RunPicker
from raybayes.engine.controller.state import SweepState
from raybayes.engine.messages import Decision, Key, Process, Report, RunResult, Start, TrialRun
from raybayes.search.plan import Plan
from raybayes.search.progress import Progress
from raybayes.spec.sweep_spec import SweepSpec
from raybayes.store.layout import Layout
from raybayes.store.lock import BurstLock

Method = TypeVar("Method", bound=Callable[..., Any])
HEARTBEAT_S = 2.0  # how old the sweep's folder may be for those who read it; the lock's file is written less often


def _one_at_a_time(method: Method) -> Method:
    @functools.wraps(method)
    def locked(self: SweepController, *args: Any, **kwargs: Any) -> Any:
        with self._mutex:
            return method(self, *args, **kwargs)

    return locked  # type: ignore[return-value]


class SweepController:
    """One burst on one sweep; the only writer of its folder until `close`. Its methods may be called by any thread.

    Args:
        layout: the sweep's paths.
        spec: what is wanted now (trials, budget, scheduler may differ from the last burst's).
        plan: the rules of the search.
        roots: folders where workers find the project.
        wait_s: how long to wait for a predecessor that is dying to release the sweep.
        clock: the time that budgets and limits are measured by.

    Raises:
        StoreError: another burst works on the sweep.
    """

    def __init__(
        self,
        layout: Layout,
        spec: SweepSpec,
        plan: Plan,
        roots: tuple[str, ...] = (),
        wait_s: float = 0.0,
        clock: Clock = WALL,
    ) -> None:
        self._spec, self._clock = spec, clock
        self._mutex = threading.RLock()
        self._lock = BurstLock(layout)
        self._lock.acquire(wait_s=wait_s)
        try:
            self._state = SweepState(layout, spec, plan)
        except BaseException:  # a notebook lives on, and would keep the sweep
            self._lock.release()
            raise
        queue = TrialQueue(layout, spec, plan, roots)
        self._finalizer = TrialFinalizer(spec, plan, self._state, queue)
        self._picker = RunPicker(spec, plan, self._state, queue, clock)
        evolution = Evolution(plan.population, layout, spec, plan, self._state, queue) if plan.population else None
        self._report_handler = ReportHandler(plan, self._state, evolution)
        self._stopping = False
        self._began = clock.elapsed()
        self._heartbeat = WALL.elapsed()
        for trial in self._state.open_trials:
            queue.add_trial(trial)

    # -- what runs next --------------------------------------------------------------------------------------

    @_one_at_a_time
    def next_run(self) -> TrialRun | None:
        """Give out the next run; None: there is none now (`over` says whether there will ever be one)."""
        self._watch_time()
        return None if self._stopping else self._picker.pick()

    @_one_at_a_time
    def next_runs(self, share: int) -> list[TrialRun]:
        """Give out the next run and those that are trained together with it; empty: there is none now.

        Args:
            share: how many of the waiting runs would give every slot the same number.
        """
        self._watch_time()
        return [] if self._stopping else self._picker.pick_group(share)

    @_one_at_a_time
    def ask_ahead(self) -> bool:
        """Ask for one trial that no slot has asked for yet, if that pays; returns whether it did."""
        return not self._stopping and self._picker.ask_ahead()

    @_one_at_a_time
    def finish_and_take(self, results: Sequence[RunResult], share: int) -> list[TrialRun]:
        """`finish` some runs and give out the `next_runs`: one write stores both."""
        for result in results:
            self._finish(result.key, None, result.attempt)
        runs = self.next_runs(share)
        if not runs:
            self._state.flush()
        return runs

    @property
    def waiting(self) -> int:
        """How many runs could be given out now."""
        with self._mutex:
            return 0 if self._stopping else self._picker.waiting

    @property
    def over(self) -> bool:
        """Whether this burst gives out no further run, ever (some may still be in training)."""
        with self._mutex:
            return self._stopping or self._picker.exhausted

    # -- what workers say ------------------------------------------------------------------------------------

    @_one_at_a_time
    def start_run(self, key: Key, node: str, process: Process | None = None) -> Start:
        """A worker starts a run (again, if an earlier worker was lost); attempt 0: the run has ended already."""
        active = self._state.find_active(key)
        if active is None:
            return Start(0)
        active.on_start(self._clock.elapsed(), process)
        return Start(self._state.count_attempt(active, node))

    @_one_at_a_time
    def on_report(self, key: Key, report: Report) -> Decision:
        """A worker reports one step of a run: log it, and decide what the run does next."""
        active = self._state.find_active(key)
        if active is None or report.attempt != active.state.attempts:
            return Decision(Action.PRUNE)  # from a worker wrongly presumed dead: it stops, its report is discarded
        active.on_report(self._clock.elapsed(), report)
        self._state.log_report(key, report)
        self._watch_time()
        decision = self._report_handler.decide(key, report, self._stopping)
        active.action = decision.action
        return decision

    @_one_at_a_time
    def before_checkpoint(self, key: Key, step: int) -> None:
        """A worker is about to publish a checkpoint: the reports up to it must be on disk first."""
        self._state.add_checkpoint(key[0])
        self._state.flush(sync=True)

    @_one_at_a_time
    def on_run_error(self, key: Key, error: str) -> None:
        """The training function has raised on one rank; the first rank to say so names the cause."""
        active = self._state.find_active(key)
        if active is not None and active.error is None:
            active.error = error

    @_one_at_a_time
    def error_of(self, key: Key) -> str | None:
        """What `on_run_error` was given for a run."""
        active = self._state.find_active(key)
        return None if active is None else active.error

    @_one_at_a_time
    def is_active(self, key: Key) -> bool:
        """Whether a slot has been given this run and has not ended it."""
        return self._state.find_active(key) is not None

    # -- how runs end ----------------------------------------------------------------------------------------

    @_one_at_a_time
    def finish(self, key: Key, error: str | None, attempt: int | None = None) -> None:
        """End a run whose training function has returned, or has raised `error`.

        Args:
            attempt: the attempt that has ended; an earlier one than the current is ignored. None: the current one.
        """
        self._finish(key, error, attempt)
        self._state.flush()

    def _finish(self, key: Key, error: str | None, attempt: int | None) -> None:
        active = self._state.find_active(key)
        if active is None or attempt not in (None, active.state.attempts):
            return  # from a worker wrongly presumed dead
        self._state.deactivate(key)
        self._picker.prefetcher.on_run_end(active.progress.seconds)
        self._finalizer.on_run_end(active, error, self._stopping)

    @_one_at_a_time
    def on_worker_lost(self, key: Key, reason: str, counts: bool | None = None) -> bool:
        """A run's worker is gone: another slot continues the run, or it fails once the retries are used up.

        Args:
            reason: the executor's explanation.
            counts: whether it counts against the retries; None: if the worker had started the run.

        Returns:
            Whether the run was still active: a worker may end its run and be lost after that.
        """
        active = self._state.find_active(key)
        if active is None:
            return False
        now, started = self._clock.elapsed(), active.process is not None
        error = self._finalizer.on_worker_lost(active, now, started if counts is None else counts, reason)
        if self._state.find_active(key) is not None:  # it is not queued again
            self.finish(key, error)
        return True

    @_one_at_a_time
    def unfuse(self, keys: Iterable[Key]) -> None:
        """Training several runs together has failed: each is trained alone, which shows which of them fails."""
        for key in keys:
            active = self._state.find_active(key)
            if active is not None:
                self._picker.fusion.unfuse(key)
                self._finalizer.requeue(active, self._clock.elapsed())

    @_one_at_a_time
    def fail_silent_runs(self) -> list[Process]:
        """Fail the runs that have not reported within the limit; returns the processes to kill."""
        limit, now = self._spec.report_timeout, self._clock.elapsed()
        active = self._state.active_runs
        silent = [each for each in active if each.process and limit and now - each.last_contact > limit]
        processes = [each.process for each in silent if each.process]
        shared = {p for p in processes if sum(each.process == p for each in active) > 1}
        self.unfuse([each.key for each in active if each.process in shared])
        for each in silent:
            if each.process in shared:  # trained alone, the run that hangs will show
                continue
            waited, step = now - each.last_contact, each.progress.step
            what = f"it did not report for {waited:.0f} s after step {step} (the limit is {limit:g} s)"
            self.finish(each.key, f"TrialHangs: {what}; it was stopped")
        return list(dict.fromkeys(processes))

    # -- the end of the burst --------------------------------------------------------------------------------

    @_one_at_a_time
    def stop(self) -> None:
        """Give out no more runs; those in training write a checkpoint at their next report and pause."""
        self._stopping = True

    def _watch_time(self) -> None:
        budget = self._spec.time_budget
        over = budget is not None and self._clock.elapsed() - self._began >= budget
        self._stopping = self._stopping or over or bool(self._state.stop_reason())

    @_one_at_a_time
    def progress(self) -> Progress:
        """What a user sees of the burst; also renews the sweep's lock and the folder for those who read it."""
        if WALL.elapsed() - self._heartbeat > HEARTBEAT_S:
            self._heartbeat = WALL.elapsed()
            self._lock.refresh()
            self._state.flush(sync=True)
        return self._state.progress(self._stopping)

    def abandon(self) -> None:
        """Release the sweep and nothing else, where there is no time to close it: what is stored is stored."""
        self._lock.release()

    @_one_at_a_time
    def close(self) -> Progress:
        """Pause the trials that have not ended, write the tables, release the sweep."""
        try:
            progress = self.progress()
            self._state.close()
        finally:  # also on a full disk: the next burst continues from what is on it by then
            self._lock.release()
        return progress
