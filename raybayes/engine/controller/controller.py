"""The brain of a burst: which job comes next, what a report means, how a trial ends. It does not know Ray.

A burst is one period of work on a sweep. It takes up what an earlier burst left unfinished, then asks for new
trials. Everything that it promises is on disk before the promise is relied on: a suggested trial before it starts,
the reports before the checkpoint that follows them, the end of a trial before the next one begins.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from raybayes.clock import WALL, Clock
from raybayes.contract import Action
from raybayes.engine.controller.failure_policy import FailurePolicy
from raybayes.engine.controller.fusion import FusionPlanner
from raybayes.engine.controller.pbt import Evolution
from raybayes.engine.controller.prefetch import Prefetcher
from raybayes.engine.controller.queue import TrialQueue
from raybayes.engine.controller.report_handler import ReportHandler
from raybayes.engine.controller.state import Process, SweepState, TrialProgress, TrialState
from raybayes.engine.messages import Decision, Key, Report, RunResult, Start, TrialRun
from raybayes.search.outcomes.outcome import State, ended
from raybayes.search.plan import Plan
from raybayes.search.progress import Progress
from raybayes.spec.sweep_spec import SweepSpec
from raybayes.store.layout import Layout
from raybayes.store.lock import BurstLock

Method = TypeVar("Method", bound=Callable[..., Any])
HEARTBEAT_S = 2.0  # how old the folder may be for those who look at it; the lock writes more seldom


def _one_at_a_time(method: Method) -> Method:
    @functools.wraps(method)
    def locked(self: SweepController, *args: Any, **kwargs: Any) -> Any:
        with self._mutex:
            return method(self, *args, **kwargs)

    return locked  # type: ignore[return-value]


class SweepController:
    """One burst on one sweep; the only writer of its folder until `close`.

    Args:
        layout: the sweep's paths.
        spec: what is wanted now (trials, budget, scheduler may differ from the last burst's).
        plan: the rules.
        roots: folders where workers find the project.
        wait_s: how long to wait for a dying predecessor to let go of the sweep.

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
        self._spec, self._plan, self._clock = spec, plan, clock
        self._mutex = threading.RLock()
        self._lock = BurstLock(layout)
        self._lock.acquire(wait_s=wait_s)
        self._state = SweepState(layout, spec, plan)
        self._queue = TrialQueue(layout, spec, plan, roots, self._state)
        self._live: dict[Key, TrialState] = {}
        self._failures: dict[Key, FailurePolicy] = {}
        self._prefetcher, self._fusion = Prefetcher(spec), FusionPlanner(spec, plan)
        evolution = (
            Evolution(plan.population, layout, spec, plan, self._state, self._queue) if plan.population else None
        )
        self._report_handler = ReportHandler(plan, self._state, evolution)
        self._stopping = False
        self._since = clock.elapsed()
        self._beat = WALL.elapsed()
        for number in self._state.take_up():
            self._queue.enter(number)

    # -- which job comes next --------------------------------------------------------------------------------

    @_one_at_a_time
    def next_job(self) -> TrialRun | None:
        """The next thing to train, or None: nothing now (see `over` for nothing ever)."""
        self._watch_time()
        if self._stopping:
            return None
        if self._plan.race is not None:  # all candidates of a race side by side
            while self._state.remaining:
                self._ask()
        elif self._state.remaining and (
            self._plan.population is not None or not self._queue.count(self._clock.elapsed())
        ):
            self._ask()
        job = self._queue.take(self._clock.elapsed())
        if job is None:
            return None
        self._give(job)
        self._state.flush()
        return job

    def _give(self, job: TrialRun) -> None:
        # A trial that was interrupted after its last report makes no further one: what it said comes from the store.
        reached = self._state.recalled.pop(job.key, TrialProgress())
        self._live[job.key] = TrialState(job, reached.step, reached.seconds, metrics=dict(reached.metrics))

    @_one_at_a_time
    def next_jobs(self, share: int) -> list[TrialRun]:
        """The next thing to train, and what is trained together with it; none: nothing now.

        Args:
            share: how many jobs of those that wait would give every slot the same number.
        """
        first = self.next_job()
        if first is None:
            return []
        jobs, size, asked = [first], self._fusion.size(first, share), 0
        while len(jobs) < size:
            other = self._queue.take(self._clock.elapsed(), self._fusion.like(first))
            if other is not None:
                self._give(other)
                jobs.append(other)
            elif self._state.remaining and asked < size:
                self._ask()
                asked += 1
            else:
                break
        if len(jobs) > 1:  # the first one is on disk already
            self._state.flush()
        return jobs

    def _ask(self) -> None:
        began = self._clock.elapsed()
        self._queue.enter(self._state.ask())
        self._prefetcher.asked(self._clock.elapsed() - began)

    @_one_at_a_time
    def ask_ahead(self) -> bool:
        """Look for one configuration that no slot has asked for yet, if that pays; whether it did."""
        planned = self._plan.race is not None or self._plan.population is not None
        waiting = self._queue.count(self._clock.elapsed())
        if (
            self._stopping
            or planned
            or not self._state.remaining
            or not self._prefetcher.pays(len(self._live), waiting)
        ):
            return False
        self._ask()
        return True

    @_one_at_a_time
    def turn(self, done: Sequence[RunResult], share: int) -> list[TrialRun]:
        """The end of jobs in order, and the next ones: what both promise is on disk after one write."""
        for one in done:
            self._finish(one.key, None, one.attempt)
        jobs = self.next_jobs(share)
        if not jobs:
            self._state.flush()
        return jobs

    @property
    def waiting(self) -> int:
        """How many jobs could be taken now."""
        with self._mutex:
            return (
                0
                if self._stopping
                else self._queue.count(self._clock.elapsed()) + self._queue.of(self._state.remaining)
            )

    @property
    def over(self) -> bool:
        """Whether no job will ever come again in this burst (some may still be running)."""
        with self._mutex:
            return self._stopping or not (self._queue or self._live or self._state.remaining)

    # -- what a worker says ----------------------------------------------------------------------------------

    @_one_at_a_time
    def start(self, key: Key, node: str, process: Process | None = None) -> Start:
        """A worker begins (again, if an earlier one was lost); attempt 0 tells it that the job is over already."""
        if key not in self._live:
            return Start(0)
        live = self._live[key]
        live.action, live.heard, live.process = Action.CONTINUE, self._clock.elapsed(), process
        return Start(self._state.begin(key, node))

    @_one_at_a_time
    def report(self, key: Key, report: Report) -> Decision:
        """One step of a trial: kept, judged, answered."""
        if key not in self._live or report.attempt != self._state.attempts[key[0]][key[1]]:
            return Decision(Action.PRUNE)  # it was given up as hanging or lost, and has woken since
        live = self._live[key]
        live.heard = self._clock.elapsed()
        live.step, live.seconds, live.metrics = report.step, report.seconds, {**live.metrics, **report.metrics}
        self._state.log(key, report)
        self._watch_time()
        decision = self._report_handler.decide(key, report, self._stopping)
        live.action = decision.action
        return decision

    @_one_at_a_time
    def saving(self, key: Key, step: int) -> None:
        """A checkpoint is about to appear: what was reported up to it must be on disk first."""
        self._state.holders.add(key[0])
        self._state.flush(sync=True)

    @_one_at_a_time
    def failed(self, key: Key, error: str) -> None:
        """A rank's training function has raised; the first one to say so names the cause."""
        if key in self._live and self._live[key].error is None:
            self._live[key].error = error

    @_one_at_a_time
    def give_up_silent(self) -> list[Process]:
        """Fail the trials that have not reported within the limit; returns the processes to stop."""
        limit, now = self._spec.report_timeout, self._clock.elapsed()
        hanging = [live for live in self._live.values() if live.process and limit and now - live.heard > limit]
        processes = [live.process for live in hanging if live.process]
        company = {p for p in processes if sum(live.process == p for live in self._live.values()) > 1}
        self.apart([live.job.key for live in self._live.values() if live.process in company])
        for live in hanging:
            if live.process in company:  # alone, it will show which of them it is
                continue
            silent = f"it did not report for {now - live.heard:.0f} s after step {live.step} (the limit is {limit:g} s)"
            self.finish(live.job.key, f"TrialHangs: {silent}; it was stopped")
        return list(dict.fromkeys(processes))

    @_one_at_a_time
    def error_of(self, key: Key) -> str | None:
        """What `failed` was told about a job."""
        return self._live[key].error if key in self._live else None

    @_one_at_a_time
    def lost(self, key: Key, reason: str, counts: bool | None = None) -> bool:
        """The process that a job was given to is gone: the job goes on in another one, or fails after the retries.

        Args:
            reason: how the executor explains it.
            counts: whether it is one of the retries; by default if the process had begun.

        Returns:
            Whether the job was still in training: the process may have told the job's end before its own.
        """
        live = self._live.get(key)
        if live is None:
            return False
        losses = self._failures.setdefault(key, FailurePolicy())
        now, begun = self._clock.elapsed(), live.process is not None
        error = losses.one_more(now, begun if counts is None else counts, self._spec.retries, reason)
        if error is not None or key[0] in self._state.closed:
            self.finish(key, error)
            return True
        del self._live[key]
        self._state.recalled[key] = live.reached
        self._queue.put_back(live.job, now + losses.pause_s)
        return True

    @_one_at_a_time
    def apart(self, keys: Iterable[Key]) -> None:
        """The training of several jobs together has failed: each goes on alone, which shows whose mistake it was."""
        for key in keys:
            live = self._live.pop(key, None)
            if live is not None:
                self._fusion.apart(key)
                self._state.recalled[key] = live.reached
                self._queue.put_back(live.job, self._clock.elapsed())

    @_one_at_a_time
    def trains(self, key: Key) -> bool:
        """Whether a slot has been given this job, and has not ended it."""
        return key in self._live

    @_one_at_a_time
    def finish(self, key: Key, error: str | None, attempt: int | None = None) -> None:
        """A worker's function has returned, or raised `error`; `attempt` tells which one's, if that is not plain."""
        self._finish(key, error, attempt)
        self._state.flush()

    def _finish(self, key: Key, error: str | None, attempt: int | None) -> None:
        number, repeat = key
        if key not in self._live or attempt not in (None, self._state.attempts[number][repeat]):
            return  # it was given up as hanging or lost, and has woken since
        live = self._live.pop(key)
        self._state.spent[number][repeat] = live.seconds
        self._prefetcher.trained(live.seconds)
        if number in self._state.closed:
            return
        outcome = ended(live.action, live.metrics, self._plan.objectives, error)
        if outcome.state is State.PAUSED:
            self._state.study.note(number, spent=self._state.spent[number], steps=live.step)
            self._queue.reached[number] = live.step
            if not self._stopping:
                self._queue.append(live.job)
        elif outcome.state is State.COMPLETE:
            self._complete(live)
        else:
            self._state.close(number, live.step, live.metrics, outcome)
            self._queue.drop(number)

    def _complete(self, live: TrialState) -> None:
        number, repeat = live.job.key
        done = self._state.done[number]
        done[repeat] = dict(live.metrics)
        lost = self._state.lost()
        waiting = self._queue.repeats(number) | {key[1] for key in self._live if key[0] == number}
        if len(done) < self._spec.repeats and number not in lost:
            self._state.study.note(number, done=done, spent=self._state.spent[number])
            for other in range(self._spec.repeats):
                if other not in done and other not in waiting:
                    self._queue.append(self._queue.job(number, other))
        else:
            self._settle(number, live.step)
        for other in sorted(lost - set(self._state.closed)):
            if not any(key[0] == other for key in self._live):  # else when its running seeds have ended
                self._settle(other, live.step)

    def _settle(self, number: int, step: int) -> None:
        self._state.settle(number, step)
        self._queue.drop(number)

    # -- the end of the burst --------------------------------------------------------------------------------

    @_one_at_a_time
    def stop(self) -> None:
        """Give out no more jobs; running trials write a checkpoint at their next report and pause."""
        self._stopping = True

    def _watch_time(self) -> None:
        budget = self._spec.time_budget
        if budget is not None and self._clock.elapsed() - self._since >= budget:
            self._stopping = True

    @_one_at_a_time
    def progress(self) -> Progress:
        """What is going on; also the heartbeat of the sweep's lock."""
        if WALL.elapsed() - self._beat > HEARTBEAT_S:
            self._beat = WALL.elapsed()
            self._lock.refresh()
            self._state.flush(sync=True)
        return self._state.progress([live for _, live in sorted(self._live.items())], self._stopping)

    @_one_at_a_time
    def close(self) -> Progress:
        """Pause what is unfinished, write the tables, let go of the sweep."""
        try:
            progress = self.progress()
            self._state.shut()
        finally:  # also on a full disk: what is on it by then is what the next burst goes on from
            self._lock.release()
        return progress
