"""A study whose sampler sees more than its trials: those of earlier sweeps, and what failures teach. None is stored."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from raybayes.search.objective import Objective
from raybayes.search.optuna_internals import ExtendedStudy
from raybayes.search.study.lessons import lessons_of_failures
from raybayes.space import Choice, Float, Parameter, Space, Value
from raybayes.space.values import as_key


@dataclass(frozen=True)
class PastTrial:
    """A complete trial of an earlier sweep.

    Args:
        params: its configuration, within the space.
        values: its objectives, if they are on this sweep's scale (the same fixed configuration); None otherwise.
        standing: per objective, the share of its own sweep's trials that were better, in (0, 1).
    """

    params: dict[str, Value]
    values: tuple[float, ...] | None
    standing: tuple[float, ...]


class TransferStudy(ExtendedStudy):
    """An Optuna study that shows a sampler `past` and the lessons of failed trials, in a `shown_to` block only."""

    def __init__(
        self, name: str, storage: BaseStorage, space: Space, objectives: Sequence[Objective], past: Sequence[PastTrial]
    ) -> None:
        super().__init__(name, storage, sampler=RandomSampler())
        self._showing = False
        self._space, self._objectives, self._past = space, objectives, past
        self.distributions = {name: to_distribution(space[name]) for name in space}
        self._shown: tuple[int, list[FrozenTrial]] | None = None
        self._lessons: list[FrozenTrial] = []

    def stop(self) -> None:
        """Nothing: a sampler that has tried every point asks for it, and the sweep's trials decide."""

    @contextlib.contextmanager
    def shown_to(self, sampler: BaseSampler) -> Iterator[None]:
        """Make `sampler` the study's, and show it what it is to see."""
        self.sampler = sampler
        pruned = isinstance(sampler, TPESampler) and len(self._objectives) == 1
        self._lessons = lessons_of_failures(self.own_trials(), self._space, self._objectives, pruned)
        self._showing = True
        try:
            yield
        finally:
            self._showing = False

    def shown_trials(self, own: Sequence[FrozenTrial], states: Container[TrialState] | None) -> Sequence[FrozenTrial]:
        if not self._showing:
            return own
        past = self._shown_past(own) if states is None or TrialState.COMPLETE in states else []
        if not self._lessons:
            return [*past, *own]
        taught = {lesson.number for lesson in self._lessons}
        lessons = [lesson for lesson in self._lessons if states is None or lesson.state in states]
        rest = [trial for trial in own if trial.number not in taught]
        return [*past, *sorted([*rest, *lessons], key=lambda trial: trial.number)]

    def _shown_past(self, own: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        if not self._past:
            return []
        done = [trial for trial in own if trial.state is TrialState.COMPLETE]
        if self._shown is None or self._shown[0] != len(done):
            self._shown = len(done), self._on_the_scale_of(done)
        return self._shown[1]

    def _on_the_scale_of(self, done: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        ladders = [
            sorted(objective.loss(trial.values[i]) for trial in done) for i, objective in enumerate(self._objectives)
        ]
        shown = []
        for position, past in enumerate(self._past):
            values = past.values or [
                objective.loss(quantile(ladder, share))
                for objective, ladder, share in zip(self._objectives, ladders, past.standing, strict=True)
            ]
            trial = create_trial(
                params={name: as_key(value) for name, value in past.params.items()},
                distributions={name: self.distributions[name] for name in past.params},
                values=list(values),
            )
            trial.number = position - len(self._past)  # before all trials of this study
            shown.append(trial)
        return shown


def quantile(ladder: Sequence[float], share: float) -> float:
    """The value below which this share of a sorted list lies; the share itself for an empty list."""
    if not ladder:
        return share
    place = min(max(share * len(ladder) - 0.5, 0.0), len(ladder) - 1.0)
    low = math.floor(place)
    high = min(low + 1, len(ladder) - 1)
    return ladder[low] + (place - low) * (ladder[high] - ladder[low])


def to_distribution(parameter: Parameter) -> BaseDistribution:
    """The Optuna distribution of a parameter."""
    if isinstance(parameter, Choice):
        return CategoricalDistribution(parameter.keys)
    top: Any = parameter.nearest(parameter.high)  # Optuna warns if the last step misses it by a binary fraction
    if isinstance(parameter, Float):
        return FloatDistribution(parameter.low, top, log=parameter.log, step=parameter.step)
    return IntDistribution(parameter.low, top, log=parameter.log, step=parameter.step)
