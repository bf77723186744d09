"""The exact gradient, from all orderings of a few items."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from trainables.permutations.costs import Recorder
from trainables.permutations.distributions.noise import Source
from trainables.permutations.distributions.plackett_luce import PlackettLuce, all_orderings
from trainables.permutations.estimators.estimate import Estimate, Stateless


class Exact(Stateless):
    """The gradient of the Plackett-Luce expectation from all n! costs (n <= 9), place by place instead of one by one.

    Orderings share their beginnings. With V(S) the expected cost once the places S are filled and q(j | S) the chance
    that item j comes next, V(S) = sum_j q(j | S) V(S, j), and the gradient for theta_j is
    sum_S p(S) q(j | S) (V(S, j) - V(S)). In lexicographic order, the beginnings of one length are one axis.
    """

    def __init__(self, n: int, device: torch.device) -> None:
        self._orders = all_orderings(n, device)
        self._values: Tensor | None = None
        self._counted = False  # a resumed run evaluates the costs again without counting them twice
        self._left = [self._remaining(n, place) for place in range(n - 1)]

    def _remaining(self, n: int, place: int) -> Tensor:
        """(n - place, beginnings of that length), the items not yet placed, in the order of their numbers."""
        return self._orders[:: math.factorial(n - place), place:].T.contiguous()  # sums over the first axis are quick

    def state(self) -> dict[str, Any]:
        return {"counted": self._counted}

    def load(self, state: dict[str, Any]) -> None:
        self._counted = state["counted"]

    def expectation(self, theta: Tensor, f: Recorder) -> tuple[Tensor, Tensor]:
        """E f (R,) and its gradient (R, n)."""
        if self._values is None:
            everything = self._orders.expand(theta.shape[0], -1, -1)
            self._values, self._counted = f.look(everything) if self._counted else f(everything), True
        if theta.shape[0] > 1 and bool((theta == theta[:1]).all() & (self._values == self._values[:1]).all()):
            mean, gradient = self._moments(theta[:1], self._values[:1])  # all runs are the same run
            return mean.expand(theta.shape[0]), gradient.expand_as(theta)
        return self._moments(theta, self._values)

    def _moments(self, theta: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        chances, gains = [], []
        for left in reversed(self._left):
            chance = theta[:, left].softmax(1)  # (R, items left, beginnings)
            after = values.unflatten(1, (-1, len(left))).transpose(1, 2)
            values = (chance * after).sum(1)
            chances.append(chance)
            gains.append(chance * (after - values.unsqueeze(1)))
        gradient, reached = torch.zeros_like(theta), torch.ones_like(theta[:, :1])
        for left, chance, gain in zip(self._left, reversed(chances), reversed(gains), strict=True):
            weighted = reached.unsqueeze(1) * gain
            gradient.scatter_add_(1, left.reshape(1, -1).expand(len(theta), -1), weighted.flatten(1))
            reached = (reached.unsqueeze(1) * chance).transpose(1, 2).flatten(1)
        return values.squeeze(-1), gradient

    def estimate(
        self, theta: Tensor, f: Recorder, samples: int, generator: Source, groups: int = 1, look: bool = False
    ) -> Estimate:
        mean, gradient = self.expectation(theta, f)
        orders = PlackettLuce(theta.detach()).mode_at_random(generator)
        total = groups * samples
        values = mean.unsqueeze(-1).expand(-1, total)
        spread = gradient.unsqueeze(1).expand(-1, total, -1)
        return Estimate(orders.unsqueeze(1).expand(-1, total, -1), values, spread, None)
