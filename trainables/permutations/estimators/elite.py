"""The cross-entropy method: the distribution moves towards the best of an update's samples."""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.permutations.costs import Recorder
from trainables.permutations.distributions.models import Model
from trainables.permutations.distributions.noise import Source
from trainables.permutations.estimators.estimate import Estimate, Stateless, per_entry


class CrossEntropy(Stateless):
    """The gradient of minus the elite's mean log-likelihood, less the mean score of all samples, which is 0 on average.

    It does not minimise E f but the distance to the distribution restricted to costs below its own quantile, so only
    the ranks of the costs matter.

    Args:
        elite: the share of an update's samples that counts, at least one sample.

    References:
        Rubinstein, The cross-entropy method for combinatorial and continuous optimization, 1999.
    """

    def __init__(self, model: Model, elite: float) -> None:
        self._model, self._elite = model, elite

    def estimate(
        self, theta: Tensor, f: Recorder, samples: int, generator: Source, groups: int = 1, look: bool = False
    ) -> Estimate:
        draw = self._model.draw(theta, groups * samples, generator)
        values = f.look(draw.order) if look else f(draw.order)
        count = max(1, round(self._elite * samples))
        grouped = values.unflatten(-1, (groups, samples))
        best = grouped.topk(count, -1, largest=False).indices
        weight = torch.ones_like(grouped).scatter_add(
            -1, best, torch.full_like(best, -samples / count, dtype=values.dtype)
        )
        score = draw.score()
        return Estimate(draw.order, values, per_entry(weight.flatten(-2), score) * score, None)
