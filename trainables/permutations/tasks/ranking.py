"""Ranking documents: a score for each document, Plackett-Luce over a query's documents, minus NDCG@k as a black box."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import torch
from torch import Tensor

from raybayes.errors import DataError
from trainables.permutations.adam import Adam
from trainables.permutations.config import RankingValues
from trainables.permutations.losses import LOSSES
from trainables.permutations.queries import PADDING, Queries, discounts, gains, ndcg
from trainables.permutations.tasks import boosting
from trainables.permutations.tasks.problem import Control, Policy, Problem


class NdcgCost:
    """Minus NDCG@k; the relaxed one is minus sum_i discount_i (P gain)_i / ideal.

    Args:
        relevance: (B, n).
    """

    def __init__(self, relevance: Tensor, k: int) -> None:
        self.n = relevance.shape[-1]
        gain = gains(relevance)
        discount = discounts(self.n, k, relevance)
        ideal = (gain.sort(-1, descending=True).values * discount).sum(-1, keepdim=True)
        self._gain, self._discount = gain / ideal, discount

    def __call__(self, order: Tensor) -> Tensor:
        return -(self._gain.unsqueeze(1).expand(order.shape).gather(-1, order) * self._discount).sum(-1)

    def relaxed(self, matrix: Tensor) -> tuple[Tensor, Tensor]:
        gain = self._gain[:, None, :, None]
        value = -((matrix @ gain).squeeze(-1) * self._discount).sum(-1)
        slope = -self._discount.unsqueeze(-1) * self._gain[:, None, None, :]
        return value, slope.expand_as(matrix)

    def bend(self, matrix: Tensor, direction: Tensor) -> Tensor:
        return torch.zeros_like(direction)  # it is linear


class Scorer:
    """Document scores of `runs` independent linear functions or networks with one hidden layer.

    Args:
        queries: what is scored in training.
        hidden: units; 0 for a linear score, which starts at 0.
    """

    def __init__(self, queries: Queries, runs: int, hidden: int, scale: float, generator: torch.Generator) -> None:
        self._queries, self._runs = queries, runs
        like, inputs = queries.features, queries.features.shape[-1]
        shapes = [(inputs, hidden), (1, hidden), (hidden, 1)] if hidden else [(inputs, 1)]
        self._weights = []
        for shape in shapes:
            width = scale if not hidden else shape[0] ** -0.5 if shape[0] > 1 else 0.0
            draw = torch.randn((runs, *shape), dtype=torch.float64, generator=generator)
            self._weights.append((width * draw).to(like).requires_grad_())

    @staticmethod
    def apply(weights: Sequence[Tensor], features: Tensor) -> Tensor:
        """Scores (runs, m) of features (m, F)."""
        out = features.expand(len(weights[0]), -1, -1) @ weights[0]
        if len(weights) == 3:
            out = torch.relu(out + weights[1]) @ weights[2]
        return out.squeeze(-1)

    def scores(self, queries: Queries) -> Tensor:
        """(runs, Q, n), padding masked."""
        out = self.apply(self._weights, queries.features.flatten(0, 1))
        shaped = out.reshape(self._runs, *queries.mask.shape)
        return torch.where(queries.mask, shaped, PADDING)

    def theta(self) -> Tensor:
        return self.scores(self._queries).flatten(0, 1)

    def parameters(self) -> list[Tensor]:
        return self._weights

    def backward(self, theta: Tensor, gradient: Tensor) -> list[Tensor]:
        return list(torch.autograd.grad(theta, self._weights, gradient / len(self._queries)))


class Ranking(Problem):
    """All training queries, for `runs` scorers; row = run · Q + query.

    Args:
        updates, lr: of the scorer; the surrogate losses are trained for as long, with the same optimiser.
    """

    def __init__(
        self, data: Mapping[str, pa.Table], config: RankingValues, runs: int, updates: int, lr: float, like: Tensor
    ) -> None:
        self._config, self._runs, self._updates, self._lr = config, runs, updates, lr
        self._train, self._test = Queries.of(data["train"], like), Queries.of(data["test"], like)
        if self._train.features.shape[-1] != self._test.features.shape[-1]:
            raise DataError("train and test have different numbers of features.")
        self.n, self.rows, self.device = self._train.mask.shape[1], runs * len(self._train), like.device
        self.mask = self._train.mask.repeat(runs, 1)
        self.cost = NdcgCost(self._train.relevance.repeat(runs, 1), config.k)
        self._scorer: Scorer | None = None

    def policy(
        self, shape: tuple[int, ...], scale: float, spread: float, like: Tensor, generator: torch.Generator
    ) -> Policy:
        self._scorer = Scorer(self._train, self._runs, self._config.hidden, scale, generator)
        return self._scorer

    def state(self) -> dict[str, Any]:
        return {"scorer": {"hidden": self._config.hidden}}

    def _test_ndcg(self, scorer: Scorer, k: int) -> Tensor:
        """(runs, queries)"""
        with torch.no_grad():
            order = scorer.scores(self._test).argsort(dim=-1, descending=True, stable=True)
        return ndcg(order, self._test.relevance, k)

    def measure(self, best: Tensor, mode: Tensor, theta: Tensor, last: bool = False) -> Mapping[str, Tensor]:
        assert self._scorer is not None
        return {f"test_ndcg{k}": self._test_ndcg(self._scorer, k) for k in (5, 10)}

    def controls(self, budget: int, runs: int, generator: torch.Generator) -> Iterable[Control]:
        yield from super().controls(budget, runs, generator)
        random = torch.rand(runs, 100, *self._test.mask.shape, generator=generator).to(self.device)
        order = random.masked_fill(~self._test.mask, -1.0).argsort(-1, descending=True)
        for k in (5, 10):
            yield Control("random_order", ndcg(order, self._test.relevance, k).mean(1).cpu(), f"ndcg{k}", 0)
        if (scores := boosting.scores(self._train, self._test)) is not None:
            order = scores.argsort(dim=-1, descending=True, stable=True)
            for k in (5, 10):
                yield Control("lightgbm", ndcg(order, self._test.relevance.cpu(), k).unsqueeze(0), f"ndcg{k}", 0)
        several = runs if self._config.hidden else 1  # a linear score starts at 0: all runs would be the same
        for name, loss in LOSSES.items():
            scorer = Scorer(self._train, several, self._config.hidden, 0.0, generator)
            adam = Adam(scorer.parameters(), self._config.weight_decay)
            for _ in range(self._updates):
                value = loss.of(scorer.scores(self._train), self._train)
                adam.step(list(torch.autograd.grad(value, scorer.parameters())), self._lr)
            for k in (5, 10):
                yield Control(name, self._test_ndcg(scorer, k).cpu(), f"ndcg{k}", 0)
