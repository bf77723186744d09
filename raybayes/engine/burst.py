"""The brain of a burst: which job comes next, what a report means, how a trial ends. It does not know Ray.

A burst is one period of work on a sweep. It takes up what an earlier burst left unfinished, then asks for new
trials. Everything that it promises is on disk before the promise is relied on: a suggested trial before it starts,
the reports before the checkpoint that follows them, the end of a trial before the next one begins.
"""

from __future__ import annotations

import functools
import math
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from raybayes.clock import WALL, Clock
from raybayes.contract import Action
from raybayes.engine.job import Decision, Job, Report, Start
from raybayes.engine.journal_home import JournalHome
from raybayes.search.confirm import samples
from raybayes.search.fronts import Fronts
from raybayes.search.outcome import Outcome, State, ended, mean_and_error, not_finite, violations
from raybayes.search.plan import Plan
from raybayes.search.progress import Ended, Progress, Running
from raybayes.search.ranking import front, ranked
from raybayes.search.study import Study, TrialRecord, trials_table
from raybayes.seeds import derive
from raybayes.spec import SweepSpec
from raybayes.store import checkpoints
from raybayes.store.layout import Layout
from raybayes.store.lock import BurstLock
from raybayes.store.reports import FIXED, ReportLog, compact_reports, next_burst, read_reports
from raybayes.store.trials import write_trials

Key = tuple[int, int]
Process = tuple[str, int]  # the node as the executor calls it, and the process there
Method = TypeVar("Method", bound=Callable[..., Any])
SYNC_EVERY_S = 0.5  # an fsync costs about 4 ms, as much as all else that a short trial needs from the desk
HEARTBEAT_S = 2.0  # how old the folder may be for those who look at it; the lock writes more seldom


@dataclass
class Live:
    """A job that is being trained."""

    job: Job
    step: int = 0
    seconds: float = 0.0
    action: Action = Action.CONTINUE
    metrics: dict[str, float] = field(default_factory=dict)
    error: str | None = None
    heard: float = 0.0  # when its worker last said something
    process: Process | None = None


def _one_at_a_time(method: Method) -> Method:
    @functools.wraps(method)
    def locked(self: Burst, *args: Any, **kwargs: Any) -> Any:
        with self._mutex:
            return method(self, *args, **kwargs)

    return locked  # type: ignore[return-value]


class Burst:
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
        self._layout, self._spec, self._plan, self._roots, self._clock = layout, spec, plan, roots, clock
        self._mutex = threading.RLock()
        self._lock = BurstLock(layout)
        self._lock.acquire(wait_s=wait_s)
        self._home = JournalHome(layout, WALL)
        self._study = Study(self._home.location, plan.space, plan.objectives, past=plan.prior.past)
        compact_reports(layout)
        self._log = ReportLog(layout, next_burst(layout))
        self._queue: deque[Job] = deque()
        self._live: dict[Key, Live] = {}
        self._params: dict[int, dict[str, Any]] = {}
        self._done: dict[int, dict[int, dict[str, float]]] = {}  # trial -> repeat -> last metrics
        self._spent: dict[int, dict[int, float]] = {}
        self._founders = 0  # trials that descend from no other
        self._reached: dict[int, int] = {}  # trial -> step at which it was put back into the queue
        self._attempts: dict[int, Counter[int]] = {}
        self._closed: dict[int, TrialRecord] = {}
        self._holders = checkpoints.holders(layout)  # trials that have a checkpoint on disk
        self._ends: list[Ended] = []
        self._stopping = False
        self._since = clock.elapsed()
        self._synced = self._beat = WALL.elapsed()  # what a disk has kept is a matter of real time, also in a replay
        checkpoints.stale_parts(layout)
        self._take_up()

    # -- which job comes next --------------------------------------------------------------------------------

    def _take_up(self) -> None:
        whole, torn = self._study.unfinished()
        for number in torn:
            self._study.void(number)
        records = {record.number: record for record in self._study.records()}
        self._closed = {number: record for number, record in records.items() if record.state.final}
        self._founders = sum("parent" not in record.notes for record in records.values())
        for number, record in records.items():
            self._done[number] = {int(r): dict(m) for r, m in record.notes.get("done", {}).items()}
        for number in whole:
            self._params[number] = self._study.take_up(number)
            notes = records[number].notes
            self._attempts[number] = Counter({int(r): n for r, n in notes.get("tries", {}).items()})
            self._spent[number] = {int(r): s for r, s in notes.get("spent", {}).items()}
            self._enqueue(number)
        self._curves = self._study.curves() if len(self._plan.objectives) == 1 else self._fronts()
        self._recalled = _last_metrics(self._layout, whole) if whole else {}
        self._flush(sync=True)

    def _fronts(self) -> Fronts:
        """The curves of several objectives, which the study does not keep: from the reports of the first seeds."""
        fronts = Fronts()
        for row in read_reports(self._layout).to_pylist():
            losses = [o.loss(row[o.name]) for o in self._plan.objectives if row.get(o.name) is not None]
            if row["repeat"] == 0 and len(losses) == len(self._plan.objectives) and all(map(math.isfinite, losses)):
                fronts.add_vector(row["trial"], row["step"], tuple(losses))
        return fronts

    def _enqueue(self, number: int) -> None:
        for repeat in range(self._spec.repeats):
            if repeat not in self._done[number]:
                self._queue.append(self._job(number, repeat))
                if self._spec.scheduler.name != "none" and not self._done[number]:
                    return  # the scheduler judges the first repeat; the others follow if it survives

    def _job(self, number: int, repeat: int) -> Job:
        return Job(
            project=self._spec.project,
            config={**self._spec.config, **self._params[number]},
            trial=number,
            repeat=repeat,
            seed=self._spec.seed,
            storage=self._layout.storage,
            every_s=self._spec.checkpoints.every_s,
            data=self._spec.data,
            roots=self._roots,
        )

    @_one_at_a_time
    def next_job(self) -> Job | None:
        """The next thing to train, or None: nothing now (see `over` for nothing ever)."""
        self._watch_time()
        if self._stopping:
            return None
        if self._plan.race is not None:
            self._line_up()
        elif self._room() and (not self._queue or self._plan.population is not None):
            self._ask()
        if not self._queue:
            return None
        if self._plan.population is not None:  # the member that is furthest behind, so that all stay side by side
            self._queue = deque(sorted(self._queue, key=lambda job: self._reached.get(job.trial, 0)))
        job = self._queue.popleft()
        # A trial that was interrupted after its last report makes no further one: its metrics come from the store.
        self._live[job.key] = Live(job, metrics=self._recalled.pop(job.key, {}))
        self._flush()
        return job

    def _line_up(self) -> None:
        """All candidates of a race side by side: the first seed of each before the second of any."""
        while self._room():
            self._ask()
        self._queue = deque(sorted(self._queue, key=lambda job: (job.repeat, job.trial)))

    def _room(self) -> bool:
        if self._plan.population is not None:  # later members come from exploitation, not from here
            return self._asked < self._wanted and self._founders < self._plan.population.size
        return self._asked < self._wanted

    @property
    def _wanted(self) -> int:
        return self._spec.trials if self._plan.grid is None else min(self._spec.trials, len(self._plan.grid))

    @property
    def _asked(self) -> int:
        return len(self._closed) + len(self._params)

    def _ask(self, given: Mapping[str, Any] | None = None, parent: int | None = None) -> int:
        notes = {} if parent is None else {"parent": parent}
        self._founders += parent is None
        if given is None:
            given = self._plan.given(self._asked)
        number, params = self._study.ask(self._plan.factory, given, **notes)
        self._params[number] = params
        self._done[number], self._spent[number], self._attempts[number] = {}, {}, Counter()
        self._enqueue(number)
        return number

    @property
    def over(self) -> bool:
        """Whether no job will ever come again in this burst (some may still be running)."""
        with self._mutex:
            return self._stopping or not (self._queue or self._live or self._room())

    # -- what a worker says ----------------------------------------------------------------------------------

    @_one_at_a_time
    def start(self, key: Key, node: str, process: Process | None = None) -> Start:
        """A worker begins (again, if an earlier one was lost); attempt 0 tells it that the job is over already."""
        number, repeat = key
        if key not in self._live:
            return Start(0)
        live = self._live[key]
        live.action, live.heard, live.process = Action.CONTINUE, self._clock.elapsed(), process
        self._attempts[number][repeat] += 1
        self._study.note(number, tries=dict(self._attempts[number]), node=node)
        return Start(self._attempts[number][repeat])

    @_one_at_a_time
    def report(self, key: Key, report: Report) -> Decision:
        """One step of a trial: kept, judged, answered."""
        number, repeat = key
        if key not in self._live:  # it was given up as hanging, and has woken since
            return Decision(Action.PRUNE)
        live = self._live[key]
        live.heard = self._clock.elapsed()
        live.step, live.seconds, live.metrics = report.step, report.seconds, {**live.metrics, **report.metrics}
        self._log.append(
            {
                "trial": number,
                "repeat": repeat,
                "attempt": report.attempt,
                "step": report.step,
                "seconds": report.seconds,
                "time": report.time,
                "node": report.node,
                **report.metrics,
            }
        )
        self._watch_time()
        decision = self._judge(live, report)
        live.action = decision.action
        return decision

    def _judge(self, live: Live, report: Report) -> Decision:
        number, repeat = live.job.key
        if not_finite(report.metrics, self._plan.objectives):
            return Decision(Action.FAIL)
        if number in self._closed:  # another repeat of the trial has failed or was pruned meanwhile
            return Decision(Action.PRUNE)
        if repeat == 0 and all(objective.name in report.metrics for objective in self._plan.objectives):
            self._remember(number, report)
            if not (report.last or report.early):
                if self._plan.population is not None:
                    return self._evolve(number, report.step)
                if not self._plan.scheduler.goes_on(self._curves, number, report.step):
                    return Decision(Action.PRUNE)
        if self._stopping and not report.last:
            return Decision(Action.PAUSE, checkpoint=True)
        return Decision()

    def _remember(self, number: int, report: Report) -> None:
        values = [report.metrics[objective.name] for objective in self._plan.objectives]
        losses = tuple(o.loss(value) for o, value in zip(self._plan.objectives, values, strict=True))
        if isinstance(self._curves, Fronts):
            self._curves.add_vector(number, report.step, losses)
        else:
            self._curves.add(number, report.step, losses[0])
            self._study.report(number, report.step, values[0])

    def _evolve(self, number: int, step: int) -> Decision:
        population = self._plan.population
        assert population is not None
        if self._stopping:
            return Decision(Action.PAUSE, checkpoint=True)
        if step % population.interval:
            return Decision()
        # The members that wait at this step are ranked again now that one more has reached it.
        for job in [job for job in self._queue if self._reached.get(job.trial) == step and job.trial != number]:
            if self._replace(job.trial, step):
                self._close(job.trial, Live(job, step=step), Outcome(State.PRUNED))
        if self._replace(number, step):
            return Decision(Action.PRUNE)
        behind = self._room() or any(self._reached.get(job.trial, 0) < step for job in self._queue)
        return Decision(Action.PAUSE if behind else Action.CONTINUE, checkpoint=True)

    def _replace(self, number: int, step: int) -> bool:
        """Let a child of one of the best take the place of a member, if it is among the worst."""
        population = self._plan.population
        assert population is not None
        parent = population.parent(self._curves, number, step, self._spec.seed, set(self._params))
        if parent is None or self._asked >= self._spec.trials:
            return False
        state = checkpoints.newest(self._layout, parent, 0)
        if state is None or state.step > step:  # the parent is ahead already, or has nothing to give yet
            return False
        seed = derive(self._spec.seed, "explore", self._asked)
        given = {**population.perturbed(self._plan.space, self._study.params(parent), seed), **self._plan.narrow}
        child = self._ask(given, parent)
        # A copy, because the parent's own goes when it writes the next.
        checkpoints.clone(state, child, 0)
        self._holders.add(child)
        self._reached[child] = state.step
        return True

    @_one_at_a_time
    def saving(self, key: Key, step: int) -> None:
        """A checkpoint is about to appear: what was reported up to it must be on disk first."""
        self._holders.add(key[0])
        self._flush(sync=True)

    @_one_at_a_time
    def failed(self, key: Key, error: str) -> None:
        """A rank's training function has raised; the first one to say so names the cause."""
        if key in self._live and self._live[key].error is None:
            self._live[key].error = error

    @_one_at_a_time
    def give_up_silent(self) -> list[Process]:
        """Fail the trials that have not reported within the limit; returns the processes to stop."""
        limit, now = self._spec.report_limit_s, self._clock.elapsed()
        hanging = [live for live in self._live.values() if live.process and limit and now - live.heard > limit]
        for live in hanging:
            silent = f"it did not report for {now - live.heard:.0f} s after step {live.step} (the limit is {limit:g} s)"
            self.finish(live.job.key, f"TrialHangs: {silent}; it was stopped")
        return [live.process for live in hanging if live.process]

    @_one_at_a_time
    def error_of(self, key: Key) -> str | None:
        """What `failed` was told about a job."""
        return self._live[key].error if key in self._live else None

    @_one_at_a_time
    def finish(self, key: Key, error: str | None) -> None:
        """A worker's function has returned, or raised `error`."""
        live = self._live.pop(key, None)
        if live is None:
            return  # told twice: the worker and the tuner saw the same end
        number, repeat = key
        self._spent[number][repeat] = live.seconds
        if number in self._closed:
            return
        outcome = ended(live.action, live.metrics, self._plan.objectives, error)
        if outcome.state is State.PAUSED:
            self._study.note(number, spent=self._spent[number], steps=live.step)
            self._reached[number] = live.step
            if not self._stopping:
                self._queue.append(live.job)
        elif outcome.state is State.COMPLETE:
            self._complete(live)
        else:
            self._close(number, live, outcome)
        self._flush()

    def _complete(self, live: Live) -> None:
        number, repeat = live.job.key
        done = self._done[number]
        done[repeat] = dict(live.metrics)
        lost = self._lost()
        waiting = {job.repeat for job in self._queue if job.trial == number}
        waiting |= {key[1] for key in self._live if key[0] == number}
        if len(done) < self._spec.repeats and number not in lost:
            self._study.note(number, done=done, spent=self._spent[number])
            for other in range(self._spec.repeats):
                if other not in done and other not in waiting:
                    self._queue.append(self._job(number, other))
        else:
            self._settle(number, live)
        for other in sorted(lost - set(self._closed)):
            if not any(key[0] == other for key in self._live):  # else when its running seeds have ended
                self._settle(other, Live(self._job(other, 0), step=live.step))

    def _lost(self) -> set[int]:
        """The candidates of a race that need no more seeds."""
        if self._plan.race is None:
            return set()
        failed = {number for number, record in self._closed.items() if record.state is State.FAIL}
        runs = {n: samples(done, self._plan.objectives) for n, done in self._done.items() if n not in failed}
        return self._plan.race.lost(runs)

    def _settle(self, number: int, live: Live) -> None:
        """Close a trial with the means over its finished repeats."""
        done = self._done[number]
        names = {name for metrics in done.values() for name in metrics}
        pooled = {name: mean_and_error([m[name] for m in done.values() if name in m]) for name in sorted(names)}
        errors = {name: error for name, (_, error) in pooled.items() if error is not None}
        notes = {"n": len(done), "se": errors} if self._spec.repeats > 1 else {}
        self._study.note(number, **notes)
        if self._plan.race is not None:
            self._study.note(number, done=done)
        means = {name: mean for name, (mean, _) in pooled.items()}
        self._close(number, replace(live, metrics=means), ended(Action.CONTINUE, means, self._plan.objectives), notes)

    def _close(self, number: int, live: Live, outcome: Outcome, notes: Mapping[str, Any] | None = None) -> None:
        missed = violations(self._spec.constraints, live.metrics) if outcome.state is State.COMPLETE else {}
        self._study.note(number, seconds=sum(self._spent[number].values()), steps=live.step)
        self._study.finish(number, outcome, missed)
        self._queue = deque(job for job in self._queue if job.trial != number)
        self._closed[number] = TrialRecord(
            number,
            outcome.state,
            self._params.pop(number),
            outcome.values,
            curve={},
            notes={"error": outcome.error, **(notes or {})},
            feasible=all(distance <= 0 for distance in missed.values()),
        )
        value = outcome.values[0] if outcome.values else live.metrics.get(self._plan.objectives[0].name)
        self._ends.append(Ended(number, str(outcome.state), value, outcome.error))
        if self._holders:
            self._retain()

    def _retain(self) -> None:
        unfinished = set(self._params)
        done = [self._closed[n] for n in self._holders if n in self._closed]
        best = ranked([record for record in done if record.state is State.COMPLETE], self._plan.objectives)
        keep = self._spec.checkpoints.keep
        checkpoints.retain(self._layout, unfinished=unfinished, ranking=best, keep_best=keep)
        self._holders &= unfinished | set(best[:keep])

    def _flush(self, sync: bool = False) -> None:
        """Write down all that is known, reports first: no end of a trial without its curve.

        What is written survives a kill of this process at once. A crash of the machine may cost the last half second
        of short trials' ends (they run again), never a trial that has a checkpoint: `saving` syncs before it appears.
        """
        now = WALL.elapsed()
        sync = sync or now - self._synced >= SYNC_EVERY_S
        self._log.flush(sync)
        self._home.flush(self._study, sync)
        if sync:
            self._synced = now

    # -- the end of the burst --------------------------------------------------------------------------------

    @_one_at_a_time
    def stop(self) -> None:
        """Give out no more jobs; running trials write a checkpoint at their next report and pause."""
        self._stopping = True

    def _watch_time(self) -> None:
        budget = self._spec.time_budget_s
        if budget is not None and self._clock.elapsed() - self._since >= budget:
            self._stopping = True

    @_one_at_a_time
    def progress(self) -> Progress:
        """What is going on; also the heartbeat of the sweep's lock."""
        if WALL.elapsed() - self._beat > HEARTBEAT_S:
            self._beat = WALL.elapsed()
            self._lock.refresh()
            self._flush(sync=True)
        name = self._plan.objectives[0].name
        running = tuple(Running(*key, live.step, live.metrics.get(name)) for key, live in sorted(self._live.items()))
        states = Counter(str(record.state) for record in self._closed.values())
        first = front(list(self._closed.values()), self._plan.objectives[:1])
        values = self._closed[first[0]].values if first else None
        best = (first[0], values[0]) if values else None
        notes = self._closed[first[0]].notes if first else {}
        rests_on = (notes.get("n", 1), notes.get("se", {}).get(name))
        return Progress(
            self._wanted, dict(states), running, best, tuple(self._ends), self._stopping, len(self._params), rests_on
        )

    @_one_at_a_time
    def close(self) -> Progress:
        """Pause what is unfinished, write the tables, let go of the sweep."""
        try:
            progress = self.progress()
            for number in sorted(self._params):
                self._study.note(number, spent=self._spent[number], done=self._done[number])
                self._study.finish(number, Outcome(State.PAUSED), {})
            self._log.close()
            self._home.flush(self._study, last=True)
            write_trials(self._layout, trials_table(self._study.records(), self._plan.space, self._plan.objectives))
        finally:  # also on a full disk: what is on it by then is what the next burst goes on from
            self._lock.release()
        return progress


def _last_metrics(layout: Layout, trials: list[int]) -> dict[Key, dict[str, float]]:
    """The newest value of each metric of some trials, by (trial, repeat)."""
    table = read_reports(layout)
    found: dict[Key, dict[str, float]] = {}
    for row in table.filter(pc.is_in(table["trial"], pa.array(trials, pa.int64()))).to_pylist():
        metrics = {name: value for name, value in row.items() if name not in FIXED.names and value is not None}
        found.setdefault((row["trial"], row["repeat"]), {}).update(metrics)
    return found
