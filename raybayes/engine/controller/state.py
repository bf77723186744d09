"""The state of a sweep during a burst: one record per trial, and what is stored of each before anybody relies on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from raybayes.clock import WALL, Clock
from raybayes.contract import Action
from raybayes.engine.controller.burst_progress import describe_progress
from raybayes.engine.controller.journal_file import JournalFile
from raybayes.engine.controller.recall import given_up_attempts, last_population, read_progress, read_vector_curves
from raybayes.engine.controller.trial_state import ActiveRun, TrialProgress, TrialState
from raybayes.engine.messages import Key, Report, TrialRun
from raybayes.search.outcomes.confirm import losses_of_repeats
from raybayes.search.outcomes.outcome import Outcome, State, decide_outcome, mean_and_error, measure_violations
from raybayes.search.outcomes.ranking import rank_trials
from raybayes.search.outcomes.records import TrialRecord
from raybayes.search.plan import Plan
from raybayes.search.progress import Ended, Progress
from raybayes.search.schedulers.nondominated import NondominatedCurves
from raybayes.search.schedulers.rungs import Curves
from raybayes.search.study.study import Study
from raybayes.search.study.trials_table import trials_table
from raybayes.spec.sweep_spec import SweepSpec
from raybayes.store.checkpointing import checkpoints, retention
from raybayes.store.checkpointing.owner import Owner
from raybayes.store.layout import Layout
from raybayes.store.logs.attempts import AttemptLog
from raybayes.store.logs.report_log import ReportLog
from raybayes.store.logs.reports import compact_reports, next_burst_number
from raybayes.store.trials import write_trials

SYNC_EVERY_S = 0.5  # an fsync costs about 4 ms, as much as all else that the controller does for a short trial


class SweepState:
    """The trials of a sweep, its study, its log of reports and its checkpoints.

    Making one opens the sweep for a burst: trials that a crash left without a complete configuration are voided, and
    those that are unfinished are open again. Only the holder of the sweep's lock may do so.

    Args:
        layout: the sweep's paths.
        spec: what is wanted now.
        plan: the rules of the search.
        clock: real time, also in a simulated sweep: how much a disk has kept depends on it.

    Attributes:
        attempts: the log of all attempts of runs.
    """

    def __init__(self, layout: Layout, spec: SweepSpec, plan: Plan, clock: Clock = WALL) -> None:
        self._layout, self._spec, self._plan, self._clock = layout, spec, plan, clock
        self._journal = JournalFile(layout, clock)
        self._study = Study(self._journal.location, plan.space, plan.objectives, past=plan.warm_start.past)
        compact_reports(layout)
        self._log = ReportLog(layout, next_burst_number(layout))
        self.attempts = AttemptLog(layout, next_burst_number(layout))
        self._ended: list[Ended] = []  # in this burst
        self._holders = retention.list_trials_with_checkpoints(layout)  # trials that have a checkpoint on disk
        self._synced = clock.elapsed()
        checkpoints.remove_stale_parts(layout)
        whole, torn = self._study.find_unfinished()
        for number in torn:
            self._study.void(number)
        records = self._study.records()
        self._population, self._founders = last_population(records, bool(whole))
        self._closed = {r.number: TrialState.from_record(r) for r in records if r.state.final}
        self._open = {r.number: TrialState.from_record(r) for r in records if not r.state.final}
        self._active: dict[Key, ActiveRun] = {}
        self._closed_seconds = sum(trial.trained for trial in self._closed.values())
        self._judged, self._stop_reason = -1, ""  # how many closed trials the rules have seen, and what they say
        for number in whole:
            self._study.resume_trial(number)
        given_up = given_up_attempts(records)
        self._curves: Curves = (
            self._study.curves() if len(plan.objectives) == 1 else read_vector_curves(layout, plan.objectives, given_up)
        )
        if whole:
            for (number, repeat), progress in read_progress(layout, whole, given_up).items():
                self._open[number].repeat(repeat).progress = progress
        self.flush(sync=True)

    # -- trials ----------------------------------------------------------------------------------------------

    @property
    def open_trials(self) -> list[TrialState]:
        """The trials that have not ended, by number."""
        return [self._open[number] for number in sorted(self._open)]

    def is_closed(self, number: int) -> bool:
        """Whether a trial has ended."""
        return number in self._closed

    @property
    def wanted(self) -> int:
        """How many trials the sweep is to have."""
        return self._spec.trials if self._plan.grid is None else min(self._spec.trials, len(self._plan.grid))

    @property
    def count(self) -> int:
        """How many trials there are, open and closed."""
        return len(self._closed) + len(self._open)

    @property
    def remaining(self) -> int:
        """How many trials may still be asked for."""
        remaining = self.wanted - self.count
        if self._plan.population is not None:  # later members come from exploitation, not from the sampler
            remaining = min(remaining, self._plan.population.size - self._founders)
        return max(0, remaining)

    def ask(self, given: Mapping[str, Any] | None = None, parent: int | None = None) -> TrialState:
        """Open a trial with the next configuration of the search, or with `given`.

        Args:
            parent: the member of a population that the new trial descends from.
        """
        notes = {} if parent is None else {"parent": parent}
        if parent is None and self._plan.population is not None:
            self._founders += 1
            notes["population"] = self._population
        if given is None:
            given = self._plan.required_values(self.count)
        number, params = self._study.ask(self._plan.factory, given, **notes)
        self._open[number] = TrialState(number, params)
        return self._open[number]

    def params_of(self, number: int) -> dict[str, Any]:
        """The configuration of any trial, as the sampler suggested it."""
        return self._study.params(number)

    def owner_of(self, number: int) -> Owner | None:
        """What a trial's checkpoints name as theirs; None: there is no such trial."""
        trial = self._open.get(number) or self._closed.get(number)
        return None if trial is None else Owner({**self._spec.config, **trial.params}, self._spec.seed)

    # -- runs ------------------------------------------------------------------------------------------------

    def activate(self, run: TrialRun) -> ActiveRun:
        """A slot gets a run. Its progress so far comes along: an interrupted one may have no report left to make."""
        trial = self._open.get(run.trial) or self._closed[run.trial]
        before = trial.repeat(run.repeat)
        active = self._active[run.key] = ActiveRun(run, trial, before.progress)
        before.progress = TrialProgress()
        return active

    def deactivate(self, key: Key, interrupted: bool = False) -> ActiveRun:
        """A slot has no longer a run; one that was interrupted keeps its progress for the next slot."""
        active = self._active.pop(key)
        if interrupted:
            active.state.progress = active.progress
        return active

    def find_active(self, key: Key) -> ActiveRun | None:
        """The run that a slot has been given and has not ended."""
        return self._active.get(key)

    @property
    def active_runs(self) -> list[ActiveRun]:
        """All of them, by trial and repeat."""
        return [active for _, active in sorted(self._active.items(), key=lambda item: item[0])]

    @property
    def active_count(self) -> int:
        """How many there are."""
        return len(self._active)

    def active_repeats(self, number: int) -> set[int]:
        """Which repeats of a trial are active."""
        return {key[1] for key in self._active if key[0] == number}

    def count_attempt(self, active: ActiveRun, node: str) -> int:
        """A worker starts a run: the number of this attempt, from 1."""
        trial = active.trial
        if not trial.attempts and not self.is_closed(trial.number):  # it may have been asked for long before
            self._study.note(trial.number, began=self._clock.now())
        active.state.attempts += 1
        if not self.is_closed(trial.number):  # else another repeat has ended it meanwhile
            self._study.note(trial.number, tries=trial.attempts, node=node)
        self.attempts.on_start(*active.key, active.state.attempts, node)
        return active.state.attempts

    def log_report(self, key: Key, report: Report) -> None:
        """Keep a report; it is on disk after the next `flush`."""
        self._log.append({
            "trial": key[0], "repeat": key[1], "attempt": report.attempt, "step": report.step,
            "seconds": report.seconds, "time": report.time, "node": report.node, **report.metrics,
        })  # fmt: skip

    @property
    def curves(self) -> Curves:
        """The losses of every trial's first repeat by step: what schedulers decide by."""
        return self._curves

    def extend_curve(self, number: int, report: Report) -> None:
        """Add a report to its trial's curve, which schedulers and samplers see."""
        values = [report.metrics[objective.name] for objective in self._plan.objectives]
        losses = tuple(o.loss(value) for o, value in zip(self._plan.objectives, values, strict=True))
        if isinstance(self._curves, NondominatedCurves):
            self._curves.add_vector(number, report.step, losses)
        else:
            self._curves.add(number, report.step, losses[0])
            self._study.report(number, report.step, values[0])

    # -- how trials end --------------------------------------------------------------------------------------

    def note_pause(self, trial: TrialState, step: int) -> None:
        """Store that a trial waits at a step."""
        self._study.note(trial.number, spent=trial.seconds, steps=step)

    def note_results(self, trial: TrialState) -> None:
        """Store the results of a trial's finished repeats, while others are still to come."""
        self._study.note(trial.number, done=trial.results, spent=trial.seconds)

    def lost_candidates(self) -> set[int]:
        """The candidates of a race that are clearly beaten and need no further repeats."""
        if self._plan.race is None:
            return set()
        failed = {n for n, trial in self._closed.items() if trial.record and trial.record.state is State.FAIL}
        trials = {**self._closed, **self._open}
        runs = {
            n: losses_of_repeats(t.results, self._plan.objectives) for n, t in sorted(trials.items()) if n not in failed
        }
        return self._plan.race.find_losers(runs)

    def complete(self, number: int, step: int) -> None:
        """Close a trial with the means over its finished repeats."""
        results = self._open[number].results
        names = sorted({name for metrics in results.values() for name in metrics})
        pooled = {name: mean_and_error([m[name] for m in results.values() if name in m]) for name in names}
        errors = {name: error for name, (_, error) in pooled.items() if error is not None}
        notes = {"n": len(results), "se": errors} if self._spec.repeats > 1 else {}
        self._study.note(number, **notes)
        if self._plan.race is not None:
            self._study.note(number, done=results)
        means = {name: mean for name, (mean, _) in pooled.items()}
        self.close_trial(number, step, means, decide_outcome(Action.CONTINUE, means, self._plan.objectives), notes)

    def close_trial(
        self,
        number: int,
        step: int,
        metrics: Mapping[str, float],
        outcome: Outcome,
        notes: Mapping[str, Any] | None = None,
    ) -> None:
        """Store how a trial has ended, and delete the checkpoints that the sweep no longer needs."""
        trial = self._open.pop(number)
        missed = measure_violations(self._spec.constraints, metrics) if outcome.state is State.COMPLETE else {}
        self._study.note(number, seconds=sum(trial.seconds.values()), steps=step)
        self._study.finish(number, outcome, missed)
        feasible, kept = all(distance <= 0 for distance in missed.values()), {"error": outcome.error, **(notes or {})}
        state, values = outcome.state, outcome.values
        trial.record = TrialRecord(
            number, state, trial.params, values, curve={}, notes=kept, ended=self._clock.now(), feasible=feasible
        )
        self._closed[number] = trial
        self._closed_seconds += trial.trained
        value = outcome.values[0] if outcome.values else metrics.get(self._plan.objectives[0].name)
        self._ended.append(Ended(number, str(outcome.state), value, outcome.error))
        if self._holders:
            self._retain_checkpoints()

    def _retain_checkpoints(self) -> None:
        closed = [self._closed[number].record for number in self._holders if number in self._closed]
        complete = [record for record in closed if record is not None and record.state is State.COMPLETE]
        best = rank_trials(complete, self._plan.objectives)
        keep, unfinished = self._spec.keep_checkpoints, set(self._open)
        retention.delete_surplus(self._layout, unfinished, best, keep, self.owner_of)
        self._holders &= unfinished | set(best[:keep])

    def stop_reason(self) -> str:
        """Why the sweep ends before it has all its trials; "" if it goes on."""
        stopping = self._plan.stopping
        if stopping.rules and self._judged != len(self._closed):
            self._judged = len(self._closed)
            self._stop_reason = self._study.judge(
                stopping, [t.record for t in self._closed.values() if t.record is not None]
            )
        if self._stop_reason or stopping.budget is None:
            return self._stop_reason
        waiting = sum(trial.trained for trial in self._open.values())
        active = sum(active.progress.seconds - (active.state.seconds or 0.0) for active in self._active.values())
        return stopping.over_budget(self._closed_seconds + waiting + active)

    # -- what is on disk -------------------------------------------------------------------------------------

    def add_checkpoint(self, number: int) -> None:
        """A trial has, or is about to have, a checkpoint on disk."""
        self._holders.add(number)

    def flush(self, sync: bool = False) -> None:
        """Write all that is known, reports first, so that no trial ends on disk without its curve.

        What is written survives a kill of this process at once. A crash of the machine may cost the ends of short
        trials in the last half second (they run again), never a trial that has a checkpoint: `sync` comes before it.
        """
        now = self._clock.elapsed()
        sync = sync or now - self._synced >= SYNC_EVERY_S
        self._log.flush(sync)
        self.attempts.flush()
        self._journal.flush(self._study, sync)
        if sync:
            self._synced = now

    def progress(self, stopping: bool) -> Progress:
        """What a user sees of the burst."""
        active, opened = self.active_runs, len(self._open)
        return describe_progress(
            self.wanted, self._plan.objectives, self._closed, active, self._ended, stopping, opened, self.stop_reason()
        )

    def close(self) -> None:
        """Pause the trials that have not ended, and write the tables."""
        for trial in self.open_trials:
            self._study.note(trial.number, spent=trial.seconds, done=trial.results)
            self._study.finish(trial.number, Outcome(State.PAUSED), {})
        self._study.note_stop(self.stop_reason())
        self._log.close()
        self.attempts.close()
        self._journal.flush(self._study, last=True)
        write_trials(self._layout, trials_table(self._study.records(), self._plan.space, self._plan.objectives))
