"""What is known of one trial while a burst works on it, and of one of its runs while a slot trains it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

from raybayes.contract import Action
from raybayes.engine.controller.failure_policy import FailurePolicy
from raybayes.engine.messages import Key, Process, Report, TrialRun
from raybayes.search.outcomes.cause import Cause
from raybayes.search.outcomes.records import TrialRecord


class TrialProgress(NamedTuple):
    """How far a run has come: its last step, its seconds of training, the newest value of each metric."""

    step: int = 0
    seconds: float = 0.0
    metrics: Mapping[str, float] = MappingProxyType({})

    def after(self, report: Report) -> TrialProgress:
        """The progress once a report has come; metrics that the report does not carry keep their last value."""
        return TrialProgress(report.step, report.seconds, {**self.metrics, **report.metrics})


@dataclass
class RunState:
    """One repeat of a trial, over all its attempts.

    Args:
        attempts: how often a worker has started it.
        seconds: of training, known once it has ended or paused.
        metrics: its last metrics, once it has ended normally.
        progress: how far an interrupted attempt had come; the next one may have no report left to make.
        failures: what to do when its worker is lost.
    """

    attempts: int = 0
    seconds: float | None = None
    metrics: dict[str, float] | None = None
    progress: TrialProgress = field(default_factory=TrialProgress)
    failures: FailurePolicy = field(default_factory=FailurePolicy)


@dataclass
class TrialState:
    """One trial, all its repeats.

    Args:
        params: its configuration, as the sampler suggested it.
        repeats: the state of each repeat that has begun, by number.
        paused_step: the step at which population-based training let it wait.
        record: how it ended; None while it is open.
        earlier_seconds: of training that failed before the trial was run again.
    """

    number: int
    params: dict[str, Any]
    repeats: dict[int, RunState] = field(default_factory=dict)
    paused_step: int = 0
    record: TrialRecord | None = None
    earlier_seconds: float = 0.0

    @classmethod
    def from_record(cls, record: TrialRecord) -> TrialState:
        """A trial of an earlier burst; for one that is finished, the record is kept."""
        trial = cls(record.number, dict(record.params), record=record if record.state.final else None)
        notes = record.notes
        trial.earlier_seconds = notes.get("earlier_seconds", 0.0)
        for repeat, metrics in notes.get("done", {}).items():
            trial.repeat(int(repeat)).metrics = dict(metrics)
        for repeat, attempts in notes.get("tries", {}).items():
            trial.repeat(int(repeat)).attempts = attempts
        for repeat, seconds in notes.get("spent", {}).items():
            trial.repeat(int(repeat)).seconds = seconds
        return trial

    def repeat(self, number: int) -> RunState:
        """The state of a repeat; a new one if it has not begun."""
        return self.repeats.setdefault(number, RunState())

    @property
    def attempts(self) -> dict[int, int]:
        """Attempts of each repeat that a worker has started."""
        return {number: run.attempts for number, run in self.repeats.items() if run.attempts}

    @property
    def seconds(self) -> dict[int, float]:
        """Seconds of training of each repeat that has ended or paused."""
        return {number: run.seconds for number, run in self.repeats.items() if run.seconds is not None}

    @property
    def trained(self) -> float:
        """Seconds of training, failed attempts included, of all that is not in training now."""
        known = sum(run.progress.seconds if run.seconds is None else run.seconds for run in self.repeats.values())
        stored = self.record.notes.get("seconds", 0.0) if self.record is not None else 0.0
        return self.earlier_seconds + max(known, stored)

    @property
    def results(self) -> dict[int, dict[str, float]]:
        """The last metrics of each repeat that has ended normally."""
        return {number: run.metrics for number, run in self.repeats.items() if run.metrics is not None}


@dataclass
class ActiveRun:
    """A run that a slot has been given and has not ended.

    Args:
        trial: the trial that it belongs to.
        progress: how far it has come.
        action: the controller's last decision on it.
        error: what its training function raised, once a worker has said so.
        cause: of its failure, if it is no fault of the training function.
        last_contact: when its worker last said something, in seconds of the controller's clock.
        process: where it trains, once its worker has started.
    """

    run: TrialRun
    trial: TrialState
    progress: TrialProgress = field(default_factory=TrialProgress)
    action: Action = Action.CONTINUE
    error: str | None = None
    cause: Cause | None = None
    last_contact: float = 0.0
    process: Process | None = None

    @property
    def key(self) -> Key:
        return self.run.key

    @property
    def state(self) -> RunState:
        """What outlives this attempt."""
        return self.trial.repeat(self.run.repeat)

    def on_start(self, now: float, process: Process | None) -> None:
        """A worker has started it."""
        self.action, self.last_contact, self.process = Action.CONTINUE, now, process

    def on_report(self, now: float, report: Report) -> None:
        """Its worker has made a report."""
        self.last_contact, self.progress = now, self.progress.after(report)
