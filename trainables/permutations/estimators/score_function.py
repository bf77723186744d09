"""The score function estimator: REINFORCE and its baselines, RLOO, and the E- and T-REINFORCE families."""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor

from trainables.permutations.costs import Recorder
from trainables.permutations.distributions.models import Model
from trainables.permutations.distributions.noise import Source
from trainables.permutations.estimators.baselines import RunningBaseline
from trainables.permutations.estimators.estimate import Estimate, per_entry


def _std(values: Tensor, samples: int) -> Tensor:
    grouped: Tensor = values.unflatten(-1, (-1, samples))
    return grouped.std(-1, keepdim=True, unbiased=False).clamp_min(1e-12).expand_as(grouped).flatten(-2)


class ScoreFunction:
    """(f - a) s: REINFORCE, with a baseline, RLOO, and, with the noise's score, the E-REINFORCE family.

    Args:
        of: "order" (the order, or the matching model's trace: T-REINFORCE) or "noise" (E-REINFORCE).
        scale_by_std: divide advantages by their standard deviation over the update's samples; adds O(1/N) bias.
        entropy: weight of log p(b) added to the cost, in standard deviations of the first update's costs; it keeps the
            distribution broad. One number, or (R, 1).

    Attributes:
        share: the share of that weight in force; it falls during a run.
    """

    def __init__(
        self,
        model: Model,
        baseline: RunningBaseline,
        of: Literal["order", "noise"] = "order",
        scale_by_std: bool = False,
        entropy: float | Tensor = 0.0,
    ) -> None:
        self._model, self._baseline, self._of, self._scale = model, baseline, of, scale_by_std
        self._entropy, self.share = entropy, 1.0
        self._broad = isinstance(entropy, Tensor) or entropy > 0
        self._unit: Tensor | None = None

    def estimate(
        self, theta: Tensor, f: Recorder, samples: int, generator: Source, groups: int = 1, look: bool = False
    ) -> Estimate:
        draw = self._model.draw(theta, groups * samples, generator)
        values = f.look(draw.order) if look else f(draw.order)
        costs = values
        if self._broad:
            if self._unit is None:
                self._unit = values.std(-1, keepdim=True)
            costs = values + self._entropy * self.share * self._unit * draw.log_prob()
        score = draw.score() if self._of == "order" else draw.noise_score()
        advantage = costs - self._baseline(costs, samples)
        if self._scale:
            advantage = advantage / _std(costs, samples)
        gradient = per_entry(advantage, score) * score
        return Estimate(draw.order, values, gradient, self._baseline.statistics(costs, score))

    def observe(self, statistics: Tensor) -> None:
        self._baseline.observe(statistics)

    def parameters(self) -> list[Tensor]:
        return []

    def state(self) -> dict[str, Any]:
        return {**self._baseline.state(), "unit": self._unit}

    def load(self, state: dict[str, Any]) -> None:
        self._baseline.load(state)
        self._unit = state["unit"]
