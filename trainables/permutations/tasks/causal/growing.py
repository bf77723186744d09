"""Decomposable BIC of an order for any number of variables: parents by growing and shrinking, found once a prefix.

The cost of an order is the sum over variables of m · (entropy given the parents) + penalty, the parents chosen among
those that come before. Growing adds the parent that lowers the cost most until none does; shrinking then removes
parents while that lowers it. What was grown does not depend on the whole prefix but on which candidates were there, so
one tree per variable holds all growths ever made (grow-shrink trees).

References:
    Andrews, Ramsey, Sanchez Romero, Camchong, Kummerfeld, Fast scalable and accurate discovery of DAGs using the best
    order score search and grow-shrink trees, NeurIPS 2023, arXiv 2310.17679. Schwarz 1978 (BIC).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trainables.permutations.tasks.causal.graphs import Graph

Reals = npt.NDArray[np.float64]
MOST_KEPT = 10_000  # prefixes remembered for each variable


class LocalScore(Protocol):
    """The cost of one variable given its parents."""

    d: int

    def alone(self, node: int, parents: tuple[int, ...]) -> float:
        """With exactly these parents."""
        ...

    def with_one_more(self, node: int, parents: tuple[int, ...]) -> Reals:
        """(d,): with each variable as one more parent; infinite where it cannot be one."""
        ...


class GaussianBic:
    """m/2 log(residual variance) + |parents|/2 log m: free of the columns' scale up to a constant.

    Args:
        covariance: (d, d).
        rows: m.
        penalty: factor of the second term.
    """

    def __init__(self, covariance: Reals, rows: int, penalty: float = 1.0) -> None:
        self.d, self._c, self._m = len(covariance), covariance, rows
        self._each = 0.5 * penalty * float(np.log(rows))

    def _given(self, node: int, parents: tuple[int, ...]) -> tuple[Reals, Reals]:
        """Covariances with `node`, (d,), and variances, (d,), of all variables given the parents."""
        c, at = self._c, list(parents)
        if not at:
            return c[node], np.diag(c)
        weights = np.linalg.solve(c[np.ix_(at, at)], c[at])
        return c[node] - c[node, at] @ weights, np.diag(c) - (c[at] * weights).sum(0)

    def alone(self, node: int, parents: tuple[int, ...]) -> float:
        return self._cost(float(self._given(node, parents)[1][node]), len(parents))

    def _cost(self, variance: float, parents: int) -> float:
        floor = 1e-12 * self._c.diagonal().max()
        return 0.5 * self._m * float(np.log(max(variance, floor))) + parents * self._each

    def with_one_more(self, node: int, parents: tuple[int, ...]) -> Reals:
        with_node, variance = self._given(node, parents)
        usable = variance > 1e-9 * self._c.diagonal()
        usable[[node, *parents]] = False
        left = variance[node] - np.where(usable, with_node**2 / np.where(usable, variance, 1.0), 0.0)
        floor = 1e-12 * self._c.diagonal().max()
        costs = 0.5 * self._m * np.log(np.maximum(left, floor)) + (len(parents) + 1) * self._each
        return np.where(usable, costs, np.inf)


class MultinomialBic:
    """m H(node | parents) + (levels - 1) · (the parents' combinations) / 2 · log m.

    Args:
        codes: (m, d), each column 0 .. its levels - 1.
        penalty: factor of the second term.
    """

    def __init__(self, codes: npt.NDArray[np.int64], penalty: float = 1.0) -> None:
        self._codes, self.d = codes, codes.shape[1]
        self._each = 0.5 * penalty * float(np.log(len(codes)))
        self._levels = codes.max(0) + 1

    def alone(self, node: int, parents: tuple[int, ...]) -> float:
        return self._cost(node, parents, self._cells(parents))

    def _cells(self, parents: tuple[int, ...]) -> npt.NDArray[np.int64]:
        """The combination of the parents' values that each row has, numbered without gaps."""
        cell = np.zeros(len(self._codes), dtype=np.int64)
        for parent in parents:
            cell = np.unique(cell * self._levels[parent] + self._codes[:, parent], return_inverse=True)[1]
        return cell

    def _cost(self, node: int, parents: tuple[int, ...], cell: npt.NDArray[np.int64]) -> float:
        levels = int(self._levels[node])
        counts = np.bincount(cell * levels + self._codes[:, node], minlength=(cell.max() + 1) * levels)
        table = counts.reshape(-1, levels)
        totals = table.sum(1, keepdims=True)
        shares = np.divide(table, totals, out=np.ones(table.shape), where=table > 0)
        entropy = -float((table * np.log(shares)).sum())
        combinations = float(np.prod(self._levels[list(parents)].astype(float)))
        return entropy + (levels - 1) * combinations * self._each

    def with_one_more(self, node: int, parents: tuple[int, ...]) -> Reals:
        cell, costs = self._cells(parents), np.full(self.d, np.inf)
        for more in range(self.d):
            if more != node and more not in parents:
                joined = np.unique(cell * self._levels[more] + self._codes[:, more], return_inverse=True)[1]
                costs[more] = self._cost(node, (*parents, more), joined)
        return costs


@dataclass
class _Grown:
    """A growth: its parents, and what may be added next, best first, with what that leads to once it was needed."""

    parents: tuple[int, ...]
    bits: list[int]
    nodes: list[int]
    next: list[_Grown | None]
    shrunk: tuple[float, tuple[int, ...]] | None = None


class GrowShrink:
    """The parents of a variable among those before it, and their cost; every answer is kept.

    Args:
        score: of one variable.
    """

    def __init__(self, score: LocalScore) -> None:
        self._score, self.d = score, score.d
        self._roots = [self._grown(node, (), self._score.alone(node, ())) for node in range(self.d)]
        self._kept: list[dict[int, float]] = [{} for _ in range(self.d)]

    def _grown(self, node: int, parents: tuple[int, ...], cost: float) -> _Grown:
        costs = self._score.with_one_more(node, parents)
        better = [int(k) for k in np.argsort(costs, kind="stable") if costs[k] < cost - 1e-9]
        return _Grown(parents, [1 << k for k in better], better, [None] * len(better))

    def _leaf(self, node: int, before: int) -> _Grown:
        grown = self._roots[node]
        while True:
            for i, bit in enumerate(grown.bits):
                if before & bit:
                    child = grown.next[i]
                    if child is None:
                        parents = (*grown.parents, grown.nodes[i])
                        child = self._grown(node, parents, self._score.alone(node, parents))
                        grown.next[i] = child
                    grown = child
                    break
            else:
                return grown

    def _shrunk(self, node: int, grown: _Grown) -> tuple[float, tuple[int, ...]]:
        if grown.shrunk is None:
            parents, cost = grown.parents, self._score.alone(node, grown.parents)
            while parents:
                fewer = [tuple(p for p in parents if p != out) for out in parents]
                costs = [self._score.alone(node, some) for some in fewer]
                at = int(np.argmin(costs))
                if costs[at] >= cost - 1e-9:
                    break
                parents, cost = fewer[at], costs[at]
            grown.shrunk = cost, parents
        return grown.shrunk

    def parents(self, node: int, before: int) -> tuple[int, ...]:
        """The parents of a node among those of a bit mask."""
        return self._shrunk(node, self._leaf(node, before))[1]

    def cost(self, order: list[int]) -> float:
        """The cost of an order."""
        total, before = 0.0, 0
        for node in order:
            kept = self._kept[node]
            cost = kept.get(before)
            if cost is None:
                cost = self._shrunk(node, self._leaf(node, before))[0]
                if len(kept) >= MOST_KEPT:
                    kept.clear()
                kept[before] = cost
            total += cost
            before |= 1 << node
        return total

    def graph(self, order: npt.NDArray[np.int64]) -> Graph:
        """The graph of an order."""
        graph = np.zeros((self.d, self.d), dtype=bool)
        before = 0
        for node in order.tolist():
            graph[list(self.parents(node, before)), node] = True
            before |= 1 << node
        return graph


class GrowShrinkCost:
    """Costs of orders (R, S, d) by growing and shrinking."""

    def __init__(self, found: GrowShrink, like: Tensor) -> None:
        self.n, self._found, self._like = found.d, found, like

    def __call__(self, order: Tensor) -> Tensor:
        rows = order.reshape(-1, self.n).tolist()
        costs = torch.tensor([self._found.cost(row) for row in rows], dtype=torch.float64)
        return costs.reshape(order.shape[:-1]).to(self._like)
