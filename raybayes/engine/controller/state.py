"""The books of a burst: what is known of each trial, and written down before anybody relies on it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from raybayes.clock import WALL
from raybayes.contract import Action
from raybayes.engine.controller.journal_file import JournalFile
from raybayes.engine.messages import Key, Report, TrialRun
from raybayes.search.outcomes.confirm import samples
from raybayes.search.outcomes.outcome import Outcome, State, ended, mean_and_error, violations
from raybayes.search.outcomes.ranking import front, ranked
from raybayes.search.plan import Plan
from raybayes.search.progress import Ended, Progress, Running
from raybayes.search.schedulers.nondominated import NondominatedCurves
from raybayes.search.study.records import TrialRecord
from raybayes.search.study.study import Study
from raybayes.search.study.trials_table import trials_table
from raybayes.spec.sweep_spec import SweepSpec
from raybayes.store.checkpointing import checkpoints, retention
from raybayes.store.layout import Layout
from raybayes.store.logs.reports import FIXED, ReportLog, compact_reports, next_burst, read_reports
from raybayes.store.trials import write_trials

Process = tuple[str, int]  # the node as the executor calls it, and the process there
SYNC_EVERY_S = 0.5  # an fsync costs about 4 ms, as much as all else that a short trial needs from the desk


@dataclass
class TrialState:
    """A job that is being trained."""

    job: TrialRun
    step: int = 0
    seconds: float = 0.0
    action: Action = Action.CONTINUE
    metrics: dict[str, float] = field(default_factory=dict)
    error: str | None = None
    heard: float = 0.0  # when its worker last said something
    process: Process | None = None

    @property
    def reached(self) -> TrialProgress:
        return TrialProgress(self.step, self.seconds, self.metrics)


class TrialProgress(NamedTuple):
    """How far a job had come when its worker was lost, or its burst ended: it may have no report left to make."""

    step: int = 0
    seconds: float = 0.0
    metrics: Mapping[str, float] = MappingProxyType({})


class SweepState:
    """The study, the log of reports and the checkpoints of a sweep, and what follows from them.

    Only the holder of the sweep's lock may open them.

    Args:
        layout: the sweep's paths.
        spec: what is wanted.
        plan: the rules.
    """

    def __init__(self, layout: Layout, spec: SweepSpec, plan: Plan) -> None:
        self._layout, self._spec, self._plan = layout, spec, plan
        self._home = JournalFile(layout, WALL)
        self.study = Study(self._home.location, plan.space, plan.objectives, past=plan.prior.past)
        compact_reports(layout)
        self._log = ReportLog(layout, next_burst(layout))
        self.params: dict[int, dict[str, Any]] = {}  # of the trials that are not closed
        self.done: dict[int, dict[int, dict[str, float]]] = {}  # trial -> repeat -> last metrics
        self.spent: dict[int, dict[int, float]] = {}
        self.attempts: dict[int, Counter[int]] = {}
        self.closed: dict[int, TrialRecord] = {}
        self.ends: list[Ended] = []
        self._population = self._founders = 0  # which one it is, and how many of its members descend from no other
        self.holders = retention.holders(layout)  # trials that have a checkpoint on disk
        self._synced = WALL.elapsed()  # what a disk has kept is a matter of real time, also in a replay
        checkpoints.stale_parts(layout)

    def take_up(self) -> list[int]:
        """Void the torn trials of an earlier burst; the numbers of those to go on with."""
        whole, torn = self.study.unfinished()
        for number in torn:
            self.study.void(number)
        records = {record.number: record for record in self.study.records()}
        self.closed = {number: record for number, record in records.items() if record.state.final}
        self._found_again(list(records.values()), bool(whole))
        for number, record in records.items():
            self.done[number] = {int(r): dict(m) for r, m in record.notes.get("done", {}).items()}
        for number in whole:
            self.params[number] = self.study.take_up(number)
            notes = records[number].notes
            self.attempts[number] = Counter({int(r): n for r, n in notes.get("tries", {}).items()})
            self.spent[number] = {int(r): s for r, s in notes.get("spent", {}).items()}
        self.curves = self.study.curves() if len(self._plan.objectives) == 1 else self._fronts()
        self.recalled = _reached(self._layout, whole) if whole else {}
        self.flush(sync=True)
        return whole

    def _found_again(self, records: Sequence[TrialRecord], unfinished: bool) -> None:
        """Go on with the population of an earlier burst, or with the next one where that has come to its end."""
        of = [int(record.notes.get("population", 0)) for record in records if "parent" not in record.notes]
        newest = max(of, default=0)
        self._population, self._founders = (newest, of.count(newest)) if unfinished else (newest + 1, 0)

    def _fronts(self) -> NondominatedCurves:
        """The curves of several objectives, which the study does not keep: from the reports of the first seeds."""
        fronts = NondominatedCurves()
        for row in read_reports(self._layout).to_pylist():
            losses = [o.loss(row[o.name]) for o in self._plan.objectives if row.get(o.name) is not None]
            if row["repeat"] == 0 and len(losses) == len(self._plan.objectives) and all(map(math.isfinite, losses)):
                fronts.add_vector(row["trial"], row["step"], tuple(losses))
        return fronts

    @property
    def wanted(self) -> int:
        return self._spec.trials if self._plan.grid is None else min(self._spec.trials, len(self._plan.grid))

    @property
    def asked(self) -> int:
        return len(self.closed) + len(self.params)

    @property
    def remaining(self) -> int:
        """How many trials may be asked for."""
        remaining = self.wanted - self.asked
        if self._plan.population is not None:  # later members come from exploitation, not from here
            remaining = min(remaining, self._plan.population.size - self._founders)
        return max(0, remaining)

    def ask(self, given: Mapping[str, Any] | None = None, parent: int | None = None) -> int:
        """Open a trial with the next configuration, or with `given`; its number."""
        notes = {} if parent is None else {"parent": parent}
        if parent is None and self._plan.population is not None:
            self._founders += 1
            notes["population"] = self._population
        if given is None:
            given = self._plan.given(self.asked)
        number, params = self.study.ask(self._plan.factory, given, **notes)
        self.params[number] = params
        self.done[number], self.spent[number], self.attempts[number] = {}, {}, Counter()
        return number

    def begin(self, key: Key, node: str) -> int:
        """Count an attempt; its number, from 1."""
        number, repeat = key
        if not self.attempts[number]:  # it may have been asked for long before
            self.study.note(number, began=WALL.now())
        self.attempts[number][repeat] += 1
        self.study.note(number, tries=dict(self.attempts[number]), node=node)
        return self.attempts[number][repeat]

    def log(self, key: Key, report: Report) -> None:
        """Keep a report."""
        self._log.append(
            {
                "trial": key[0],
                "repeat": key[1],
                "attempt": report.attempt,
                "step": report.step,
                "seconds": report.seconds,
                "time": report.time,
                "node": report.node,
                **report.metrics,
            }
        )

    def remember(self, number: int, report: Report) -> None:
        """Put a report on the trial's curve, which schedulers and samplers see."""
        values = [report.metrics[objective.name] for objective in self._plan.objectives]
        losses = tuple(o.loss(value) for o, value in zip(self._plan.objectives, values, strict=True))
        if isinstance(self.curves, NondominatedCurves):
            self.curves.add_vector(number, report.step, losses)
        else:
            self.curves.add(number, report.step, losses[0])
            self.study.report(number, report.step, values[0])

    def lost(self) -> set[int]:
        """The candidates of a race that need no more seeds."""
        if self._plan.race is None:
            return set()
        failed = {number for number, record in self.closed.items() if record.state is State.FAIL}
        runs = {n: samples(done, self._plan.objectives) for n, done in self.done.items() if n not in failed}
        return self._plan.race.lost(runs)

    def settle(self, number: int, step: int) -> None:
        """Close a trial with the means over its finished repeats."""
        done = self.done[number]
        names = {name for metrics in done.values() for name in metrics}
        pooled = {name: mean_and_error([m[name] for m in done.values() if name in m]) for name in sorted(names)}
        errors = {name: error for name, (_, error) in pooled.items() if error is not None}
        notes = {"n": len(done), "se": errors} if self._spec.repeats > 1 else {}
        self.study.note(number, **notes)
        if self._plan.race is not None:
            self.study.note(number, done=done)
        means = {name: mean for name, (mean, _) in pooled.items()}
        self.close(number, step, means, ended(Action.CONTINUE, means, self._plan.objectives), notes)

    def close(
        self,
        number: int,
        step: int,
        metrics: Mapping[str, float],
        outcome: Outcome,
        notes: Mapping[str, Any] | None = None,
    ) -> None:
        """The end of a trial."""
        missed = violations(self._spec.constraints, metrics) if outcome.state is State.COMPLETE else {}
        self.study.note(number, seconds=sum(self.spent[number].values()), steps=step)
        self.study.finish(number, outcome, missed)
        self.closed[number] = TrialRecord(
            number,
            outcome.state,
            self.params.pop(number),
            outcome.values,
            curve={},
            notes={"error": outcome.error, **(notes or {})},
            feasible=all(distance <= 0 for distance in missed.values()),
        )
        value = outcome.values[0] if outcome.values else metrics.get(self._plan.objectives[0].name)
        self.ends.append(Ended(number, str(outcome.state), value, outcome.error))
        if self.holders:
            self._retain()

    def _retain(self) -> None:
        unfinished = set(self.params)
        done = [self.closed[n] for n in self.holders if n in self.closed]
        best = ranked([record for record in done if record.state is State.COMPLETE], self._plan.objectives)
        keep = self._spec.keep_checkpoints
        retention.retain(self._layout, unfinished=unfinished, ranking=best, keep_best=keep)
        self.holders &= unfinished | set(best[:keep])

    def flush(self, sync: bool = False) -> None:
        """Write down all that is known, reports first: no end of a trial without its curve.

        What is written survives a kill of this process at once. A crash of the machine may cost the last half second
        of short trials' ends (they run again), never a trial that has a checkpoint: it is synced before that appears.
        """
        now = WALL.elapsed()
        sync = sync or now - self._synced >= SYNC_EVERY_S
        self._log.flush(sync)
        self._home.flush(self.study, sync)
        if sync:
            self._synced = now

    def progress(self, live: Sequence[TrialState], stopping: bool) -> Progress:
        """What is going on, given the jobs that are being trained."""
        name = self._plan.objectives[0].name
        running = tuple(Running(*one.job.key, one.step, one.metrics.get(name)) for one in live)
        states = Counter(str(record.state) for record in self.closed.values())
        first = front(list(self.closed.values()), self._plan.objectives[:1])
        values = self.closed[first[0]].values if first else None
        best = (first[0], values[0]) if values else None
        notes = self.closed[first[0]].notes if first else {}
        rests_on = (notes.get("n", 1), notes.get("se", {}).get(name))
        return Progress(
            self.wanted, dict(states), running, best, tuple(self.ends), stopping, len(self.params), rests_on
        )

    def shut(self) -> None:
        """Pause what is unfinished, and write the tables."""
        for number in sorted(self.params):
            self.study.note(number, spent=self.spent[number], done=self.done[number])
            self.study.finish(number, Outcome(State.PAUSED), {})
        self._log.close()
        self._home.flush(self.study, last=True)
        write_trials(self._layout, trials_table(self.study.records(), self._plan.space, self._plan.objectives))


def _reached(layout: Layout, trials: list[int]) -> dict[Key, TrialProgress]:
    """How far some trials have come, with the newest value of each metric, by (trial, repeat)."""
    table = read_reports(layout)
    found: dict[Key, TrialProgress] = {}
    for row in table.filter(pc.is_in(table["trial"], pa.array(trials, pa.int64()))).to_pylist():
        metrics = {name: value for name, value in row.items() if name not in FIXED.names and value is not None}
        before = found.get((row["trial"], row["repeat"]), TrialProgress()).metrics
        found[row["trial"], row["repeat"]] = TrialProgress(row["step"], row["seconds"], {**before, **metrics})
    return found
