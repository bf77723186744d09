"""The ensemble so far: members added one by one, in the order of their numbers, and the scores of every size K."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from math import nan

import numpy as np
import torch
from torch import Tensor

from raybayes.contract import State
from trainables.ensembles.data.images import ImageData
from trainables.ensembles.metrics.average import RunningAverage
from trainables.ensembles.metrics.diversity import RunningDiversity
from trainables.ensembles.metrics.protocol import SCORES, cross_validated
from trainables.ensembles.metrics.scores import Targets
from trainables.ensembles.run.interface import Predictions


@dataclass(frozen=True)
class Point:
    """Scores of the ensemble of the first K members on one split.

    Args:
        size: K.
        split: "val" or "test".
        scores: score -> (without, with temperature scaling), both by test-time cross-validation.
        diversity: measure -> value over all objects (see `metrics.diversity`).
        temperature: mean of the fitted temperatures.
        temperature_std: their standard deviation over the folds.
        cost_epochs: training epochs of these members.
    """

    size: int
    split: str
    scores: dict[str, tuple[float, float]]
    diversity: dict[str, float]
    temperature: float
    temperature_std: float
    cost_epochs: int


@dataclass
class Ensemble:
    """Averages and scores of the members so far. Members may arrive out of order; those behind a gap wait."""

    targets: Mapping[str, Targets]
    split_seed: int
    averages: dict[str, RunningAverage] = field(default_factory=dict)
    diversities: dict[str, RunningDiversity] = field(default_factory=dict)
    waiting: dict[int, tuple[Predictions, int]] = field(default_factory=dict)
    points: list[Point] = field(default_factory=list)
    size: int = 0

    @classmethod
    def of(cls, data: ImageData, split_seed: int) -> Ensemble:
        """An empty ensemble for the scored splits of a data set."""
        return cls(
            {name: split.labels.cpu().numpy() for name, split in data.scored.items()},
            split_seed,
            {name: RunningAverage() for name in data.scored},
            {name: RunningDiversity() for name in data.scored},
        )

    def add(self, number: int, predictions: Predictions, cost_epochs: int) -> None:
        """Add member `number` (0, 1, ...); `cost_epochs`: training epochs of the first number + 1 members."""
        self.waiting[number] = (predictions, cost_epochs)
        while self.size in self.waiting:
            member, cost = self.waiting.pop(self.size)
            self.size += 1
            for split, average in self.averages.items():
                lp = member[split].numpy()
                average.add(lp)
                if np.isfinite(lp).all():  # else every score will be nan
                    self.diversities[split].add(lp, self.targets[split])
                self.points.append(self.score(split, average, self.diversities[split], cost))

    def score(self, split: str, average: RunningAverage, diversity: RunningDiversity, cost_epochs: int) -> Point:
        """The point of the curve for an average; its scores are nan if a member's training has diverged."""
        lp = average.log_probabilities()
        if not np.isfinite(lp).all():
            return Point(average.count, split, dict.fromkeys(SCORES, (nan, nan)), {}, nan, nan, cost_epochs)
        result = cross_validated(lp, self.targets[split], SCORES, seed=self.split_seed)
        scores = {name: (result.raw[name], result.calibrated[name]) for name in SCORES}
        measures = diversity.measures(lp, self.targets[split])
        return Point(average.count, split, scores, measures, result.temperature, result.temperature_std, cost_epochs)

    def last(self, split: str) -> Point:
        """The newest point of a split; there must be one."""
        return next(point for point in reversed(self.points) if point.split == split)

    def score_alone(self, split: str, lp: Tensor, cost_epochs: int) -> Point:
        """The point of a network that is not a member yet."""
        average, diversity = RunningAverage(), RunningDiversity()
        average.add(lp.numpy())
        if torch.isfinite(lp).all():
            diversity.add(lp.numpy(), self.targets[split])
        return self.score(split, average, diversity, cost_epochs)

    def state(self) -> State:
        """Plain containers of tensors and numbers."""
        return {
            "size": self.size,
            "sums": {name: self._sums(name) for name in self.averages} if self.size else {},
            "waiting": {
                number: {"predictions": dict(member), "cost": cost} for number, (member, cost) in self.waiting.items()
            },
            "points": [asdict(point) for point in self.points],
        }

    def _sums(self, split: str) -> State:
        average, diversity = self.averages[split], self.diversities[split]
        arrays = {"total": average.total, "votes": diversity.votes, "entropies": diversity.entropies}
        return {
            **{name: torch.from_numpy(np.array(array)) for name, array in arrays.items()},
            "errors": diversity.errors,
            "briers": diversity.briers,
        }

    def load(self, state: State) -> None:
        """The inverse of `state`."""
        self.size = state["size"]
        for name, sums in state["sums"].items():
            total, votes, entropies = (sums[key].numpy().copy() for key in ("total", "votes", "entropies"))
            self.averages[name] = RunningAverage(total, self.size)
            self.diversities[name] = RunningDiversity(self.size, votes, entropies, sums["errors"], sums["briers"])
        self.waiting = {number: (held["predictions"], held["cost"]) for number, held in state["waiting"].items()}
        self.points = [Point(**point) for point in state["points"]]
