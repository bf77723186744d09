"""The runs of a burst that wait for a slot, in the order in which they will get one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from raybayes.engine.controller.trial_state import TrialState
from raybayes.engine.messages import TrialRun
from raybayes.search.plan import Plan
from raybayes.spec.sweep_spec import SweepSpec
from raybayes.store.layout import Layout


@dataclass(frozen=True)
class _Waiting:
    """A run that waits for a slot; until `not_before` (the controller's clock) it is not given out."""

    run: TrialRun
    trial: TrialState
    not_before: float = 0.0


class TrialQueue:
    """The runs that wait for a slot.

    Args:
        layout: the sweep's paths.
        spec: what is wanted now.
        plan: the rules of the search.
        roots: folders where workers find the project.
    """

    def __init__(self, layout: Layout, spec: SweepSpec, plan: Plan, roots: tuple[str, ...]) -> None:
        self._layout, self._spec, self._plan, self._roots = layout, spec, plan, roots
        self._waiting: list[_Waiting] = []

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def trials(self) -> list[TrialState]:
        """The trial of each waiting run."""
        return [each.trial for each in self._waiting]

    def repeats_of(self, number: int) -> set[int]:
        """Which repeats of a trial wait."""
        return {each.run.repeat for each in self._waiting if each.run.trial == number}

    def count(self, now: float) -> int:
        """How many runs can be given out at this moment."""
        return sum(each.not_before <= now for each in self._waiting)

    def runs_of_new(self, trials: int) -> int:
        """How many runs so many new trials add at first."""
        return trials * (self._spec.repeats if self._spec.scheduler.name == "none" else 1)

    def add_trial(self, trial: TrialState) -> None:
        """Append the repeats of a trial that have no result; with a scheduler only the first, which it decides by."""
        results = trial.results
        for repeat in range(self._spec.repeats):
            if repeat not in results:
                self.add_repeat(trial, repeat)
                if self._spec.scheduler.name != "none" and not results:
                    return  # the others follow if the first one survives

    def add_repeat(self, trial: TrialState, repeat: int) -> None:
        """Append one repeat of a trial."""
        run = TrialRun(
            project=self._spec.project,
            config={**self._spec.config, **trial.params},
            trial=trial.number,
            repeat=repeat,
            seed=self._spec.seed,
            storage=self._layout.storage,
            checkpoint_every=self._spec.checkpoint_every,
            data=self._spec.data,
            roots=self._roots,
        )
        self._waiting.append(_Waiting(run, trial))

    def put_back(self, run: TrialRun, trial: TrialState, not_before: float) -> None:
        """Insert an interrupted run before all others; it is not given out before a time."""
        self._waiting.insert(0, _Waiting(run, trial, not_before))

    def drop_trial(self, number: int) -> None:
        """Remove the runs of a trial that has ended."""
        self._waiting = [each for each in self._waiting if each.run.trial != number]

    def take(self, now: float, fits: Callable[[TrialRun], bool] = lambda run: True) -> TrialRun | None:
        """Remove and return the next run that can be given out and fits; None if there is none."""
        if self._plan.race is not None:  # the first repeat of each candidate before the second of any
            self._waiting.sort(key=lambda each: (each.run.repeat, each.run.trial))
        if self._plan.population is not None:  # the member that is furthest behind, so that all stay side by side
            self._waiting.sort(key=lambda each: each.trial.paused_step)
        for place, each in enumerate(self._waiting):
            if each.not_before <= now and fits(each.run):
                return self._waiting.pop(place).run
        return None
