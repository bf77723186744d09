"""Ranking documents: a score for each document, Plackett-Luce over a query's documents, minus NDCG@k as a black box."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from raybayes.errors import DataError
from trainables.permutations.adam import Adam
from trainables.permutations.config import RankingValues
from trainables.permutations.distributions.plackett_luce import tail_logsumexp
from trainables.permutations.tasks.problem import Control, Policy, Problem

PADDING = -1e4  # logit of an absent document: no Gumbel noise lifts it, and sums with it keep 12 digits


@dataclass(frozen=True)
class Queries:
    """Documents by query, padded. Queries without a relevant document are dropped: all their rankings are equally good.

    Args:
        features: (Q, n, F).
        relevance: (Q, n), 0 .. 4; 0 at padding.
        mask: (Q, n), False at padding.
    """

    features: Tensor
    relevance: Tensor
    mask: Tensor

    @classmethod
    def of(cls, table: pa.Table, like: Tensor, length: int | None = None) -> Queries:
        """From a table with query_id, relevance and features.

        Raises:
            DataError: no query has a relevant document, or two documents.
        """
        ids = table["query_id"].to_numpy(zero_copy_only=False)
        grades = table["relevance"].to_numpy()
        features = np.stack(table["features"].to_numpy())
        groups = [np.flatnonzero(ids == query) for query in np.unique(ids)]
        groups = [rows for rows in groups if grades[rows].max() > 0]
        longest = max((len(rows) for rows in groups), default=0)
        if longest < 2:
            raise DataError(
                "no query has a relevant document and a second document to rank it against; check the table."
            )
        n = length or longest
        mask = torch.zeros(len(groups), n, dtype=torch.bool)
        relevance = torch.zeros(len(groups), n, dtype=torch.float64)
        padded = torch.zeros(len(groups), n, features.shape[1], dtype=torch.float64)
        for query, rows in enumerate(groups):
            mask[query, : len(rows)] = True
            relevance[query, : len(rows)] = torch.from_numpy(grades[rows].astype(np.float64))
            padded[query, : len(rows)] = torch.from_numpy(features[rows].astype(np.float64))
        return cls(padded.to(like), relevance.to(like), mask.to(like.device))

    def __len__(self) -> int:
        return len(self.mask)


def split_queries(tables: Mapping[str, pa.Table]) -> Mapping[str, pa.Table]:
    """Tables `train` and `test`. A user's file without splits gives every fifth query, drawn at random, to the test.

    Raises:
        DataError: splits of other names, columns that are missing, grades below 0, fewer than 5 queries.
    """
    if set(tables) != {"all"}:
        if not {"train", "test"} <= set(tables):
            raise DataError(f"found the splits {', '.join(tables)}; ranking needs train and test.")
        return {name: document_table(tables[name]) for name in ("train", "test")}
    table = document_table(tables["all"])
    queries = np.unique(table["query_id"].to_numpy(zero_copy_only=False))
    if len(queries) < 5:
        raise DataError(f"found {len(queries)} queries; a test set needs at least 5, or splits train and test.")
    held = np.random.default_rng(0).permutation(queries)[: len(queries) // 5]
    test = np.isin(table["query_id"].to_numpy(zero_copy_only=False), held)
    return {"train": table.filter(pa.array(~test)), "test": table.filter(pa.array(test))}


def document_table(table: pa.Table) -> pa.Table:
    """query_id, relevance, features; other numeric columns become the features where there is no column `features`."""
    if missing := [name for name in ("query_id", "relevance") if name not in table.column_names]:
        raise DataError(f"there is no column {missing[0]}; ranking needs query_id, relevance and features, or a column"
                        f" for each feature; found {', '.join(table.column_names)}.")  # fmt: skip
    grades = table["relevance"]
    if grades.null_count or not (pa.types.is_integer(grades.type) or pa.types.is_floating(grades.type)):
        raise DataError("relevance must be a number of 0 or more in every row.")
    lowest = pc.min(grades).as_py()
    if lowest is None or not math.isfinite(lowest) or lowest < 0 or pc.max(grades).as_py() > 31:
        raise DataError(f"found a grade of {lowest} to {pc.max(grades).as_py()}; grades are 0 (irrelevant) to 31.")
    if "features" in table.column_names:
        return table.select(["query_id", "relevance", "features"])
    names = [name for name in table.column_names if name not in ("query_id", "relevance")]
    numeric = [n for n in names if pa.types.is_integer(table[n].type) or pa.types.is_floating(table[n].type)]
    if text := [name for name in names if name not in numeric]:
        raise DataError(f"the columns {', '.join(text)} are no numbers; remove them.")
    if not numeric or any(table[name].null_count for name in numeric):
        raise DataError("found no feature column, or empty cells in one; fill them, or give a column features.")
    values = np.stack([table[name].to_numpy().astype(np.float64) for name in numeric], 1)
    return pa.table({"query_id": table["query_id"], "relevance": grades, "features": list(values)})


def gains(relevance: Tensor) -> Tensor:
    """2^grade - 1."""
    return 2.0**relevance - 1


def discounts(n: int, k: int, like: Tensor) -> Tensor:
    """1 / log2(rank + 1) for the first k ranks, 0 after."""
    ranks = torch.arange(1, n + 1, dtype=like.dtype, device=like.device)
    return torch.where(ranks <= k, 1 / torch.log2(ranks + 1), torch.zeros_like(ranks))


def ndcg(order: Tensor, relevance: Tensor, k: int) -> Tensor:
    """NDCG@k (...) of orders (..., n) with relevance (..., n); Järvelin, Kekäläinen 2002, exponential gain."""
    gain = gains(relevance)
    discount = discounts(order.shape[-1], k, relevance)
    ideal = (gain.sort(-1, descending=True).values * discount).sum(-1)
    return (gain.expand(order.shape).gather(-1, order) * discount).sum(-1) / ideal


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


def listnet(scores: Tensor, queries: Queries) -> Tensor:
    """Cross-entropy of the top-one probabilities of relevance and score (Cao et al. 2007), mean over queries."""
    target = torch.where(queries.mask, queries.relevance, PADDING).softmax(-1)
    return -(target * scores.log_softmax(-1)).sum(-1).mean(-1).sum()


def listmle(scores: Tensor, queries: Queries) -> Tensor:
    """Minus the Plackett-Luce log-probability of an ideal order (Xia et al. 2008); ties keep the table's order."""
    order = torch.where(queries.mask, queries.relevance, -1.0).argsort(dim=-1, descending=True, stable=True)
    permuted = scores.gather(-1, order.expand_as(scores))
    present = queries.mask.gather(-1, order)
    return -((permuted - tail_logsumexp(permuted)) * present).sum(-1).mean(-1).sum()


def lambdarank(scores: Tensor, queries: Queries) -> Tensor:
    """Pairwise logistic loss weighted by |change of NDCG| of the swap (Burges 2010, LambdaRank)."""
    rank = scores.detach().argsort(dim=-1, descending=True, stable=True).argsort(-1) + 1
    discount = 1 / torch.log2(rank.to(scores.dtype) + 1)
    gain = gains(queries.relevance)
    ideal = (gain.sort(-1, descending=True).values * discounts(gain.shape[-1], gain.shape[-1], gain)).sum(-1)
    change = (gain.unsqueeze(-1) - gain.unsqueeze(-2)) * (discount.unsqueeze(-1) - discount.unsqueeze(-2))
    better = queries.relevance.unsqueeze(-1) > queries.relevance.unsqueeze(-2)
    pairs = better & queries.mask.unsqueeze(-2) & queries.mask.unsqueeze(-1)
    margin = scores.unsqueeze(-1) - scores.unsqueeze(-2)
    loss = torch.nn.functional.softplus(-margin) * change.abs() / ideal[:, None, None]
    return (loss * pairs).sum((-1, -2)).mean(-1).sum()


SURROGATES: dict[str, Callable[[Tensor, Queries], Tensor]] = {
    "listnet": listnet, "listmle": listmle, "lambdarank": lambdarank,
}  # fmt: skip


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
        for name, loss in SURROGATES.items():
            scorer = Scorer(self._train, runs, self._config.hidden, 0.0, generator)
            adam = Adam(scorer.parameters(), self._config.weight_decay)
            for _ in range(self._updates):
                value = loss(scorer.scores(self._train), self._train)
                adam.step(list(torch.autograd.grad(value, scorer.parameters())), self._lr)
            for k in (5, 10):
                yield Control(name, self._test_ndcg(scorer, k).cpu(), f"ndcg{k}", 0)
