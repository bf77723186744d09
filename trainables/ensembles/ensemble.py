"""The ensemble so far: members taken in one by one, in the order of their numbers, and the scores of every size K."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import nan

import numpy as np
import torch
from torch import Tensor

from raybayes.contract import State
from trainables.ensembles.data import ImageData
from trainables.ensembles.methods import Predictions
from trainables.ensembles.metrics.average import RunningAverage
from trainables.ensembles.metrics.protocol import SCORES, cross_validated


@dataclass(frozen=True)
class Point:
    """Scores of the ensemble of the first K members on one split.

    Args:
        size: K.
        split: "val" or "test".
        scores: score -> (without, with temperature scaling), both by test-time cross-validation.
        temperature: mean of the fitted temperatures.
        temperature_std: their standard deviation over the folds.
        cost_epochs: epochs of training that these members took.
    """

    size: int
    split: str
    scores: dict[str, tuple[float, float]]
    temperature: float
    temperature_std: float
    cost_epochs: int


@dataclass
class Ensemble:
    """Averages and scores of the members so far. Members may come out of order; a gap holds back those behind it."""

    targets: Mapping[str, np.ndarray]
    split_seed: int
    averages: dict[str, RunningAverage] = field(default_factory=dict)
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
        )

    def add(self, number: int, predictions: Predictions, cost_epochs: int) -> None:
        """Take in member `number` (0, 1, ...); `cost_epochs` is the training that the first number + 1 members took."""
        self.waiting[number] = (predictions, cost_epochs)
        while self.size in self.waiting:
            member, cost = self.waiting.pop(self.size)
            self.size += 1
            for split, average in self.averages.items():
                average.add(member[split].numpy())
                self.points.append(self.score(split, average, cost))

    def score(self, split: str, average: RunningAverage, cost_epochs: int) -> Point:
        """The point of the curve that an average stands for; nan where a member's training has diverged."""
        lp = average.log_probabilities()
        if not np.isfinite(lp).all():
            return Point(average.count, split, dict.fromkeys(SCORES, (nan, nan)), nan, nan, cost_epochs)
        result = cross_validated(lp, self.targets[split], SCORES, seed=self.split_seed)
        scores = {name: (result.raw[name], result.calibrated[name]) for name in SCORES}
        return Point(average.count, split, scores, result.temperature, result.temperature_std, cost_epochs)

    def last(self, split: str) -> Point:
        """The newest point of a split."""
        return next(point for point in reversed(self.points) if point.split == split)

    def score_alone(self, split: str, lp: Tensor, cost_epochs: int) -> Point:
        """The point of a network that is no member yet."""
        average = RunningAverage()
        average.add(lp.numpy())
        return self.score(split, average, cost_epochs)

    def state(self) -> State:
        """Plain containers of tensors and numbers."""
        return {
            "size": self.size,
            "totals": {name: torch.from_numpy(average.total.copy()) for name, average in self.averages.items()
                       if average.total is not None},
            "waiting": {number: {"predictions": dict(member), "cost": cost}
                        for number, (member, cost) in self.waiting.items()},
            "points": [{"size": p.size, "split": p.split, "scores": {k: list(v) for k, v in p.scores.items()},
                        "temperature": p.temperature, "temperature_std": p.temperature_std,
                        "cost_epochs": p.cost_epochs} for p in self.points],
        }

    def load(self, state: State) -> None:
        """The inverse of `state`."""
        self.size = state["size"]
        for name, total in state["totals"].items():
            self.averages[name] = RunningAverage(total.numpy().copy(), self.size)
        self.waiting = {number: (held["predictions"], held["cost"]) for number, held in state["waiting"].items()}
        self.points = [Point(**{**p, "scores": {k: (v[0], v[1]) for k, v in p["scores"].items()}})
                       for p in state["points"]]
