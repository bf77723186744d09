"""Costs of orders by tables of parent sets, and the exact optimum over all orders by dynamic programming (d <= 15).

A score that decomposes over nodes gives each node j and each set S a local cost; an order's cost is the sum over nodes
of the best local cost among the sets of its predecessors. All scores here are differences of one function of sets,
local_j(S) = h(S + j) - h(S) + penalty, so only 2^d numbers have to be computed from the data. A set is a bit mask.

References:
    Silander, Myllymaki, A simple approach for finding the globally optimal Bayesian network structure, UAI 2006,
    arXiv 1206.6875 (the recursions). Schwarz, Estimating the dimension of a model, 1978 (BIC).
    Heckerman, Geiger, Chickering, Learning Bayesian networks, 1995 (BDeu).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import gammaln
from torch import Tensor

from trainables.permutations.tasks.causal.graphs import Graph

Reals = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ParentTable:
    """Best parent sets.

    Args:
        best: (d, 2^d), the lowest local cost of node j among the subsets of a mask (bit j ignored).
        parents: (d, 2^d), the subset that has it.
    """

    best: Reals
    parents: npt.NDArray[np.int64]

    def graph(self, order: npt.NDArray[np.int64]) -> Graph:
        """The best graph that an order allows."""
        d = len(order)
        graph = np.zeros((d, d), dtype=bool)
        before = 0
        for node in order.tolist():
            parents = int(self.parents[node, before])
            graph[[i for i in range(d) if parents >> i & 1], node] = True
            before |= 1 << node
        return graph

    def optimum(self) -> tuple[float, npt.NDArray[np.int64]]:
        """The lowest cost over all orders, and an order that has it; exact."""
        d = len(self.best)
        lowest = np.full(1 << d, np.inf)
        lowest[0] = 0.0
        last = np.zeros(1 << d, dtype=np.int64)
        nodes = np.arange(d)
        for mask in range(1, 1 << d):
            inside = nodes[(mask >> nodes) & 1 == 1]
            rest = mask & ~(1 << inside)
            values = lowest[rest] + self.best[inside, rest]
            pick = int(values.argmin())
            lowest[mask], last[mask] = values[pick], inside[pick]
        order, mask = [], (1 << d) - 1
        while mask:
            order.append(int(last[mask]))
            mask ^= 1 << order[-1]
        return float(lowest[-1]), np.array(order[::-1])


def parent_table(h: Reals, penalty: Reals) -> ParentTable:
    """From a function of sets (2^d,) and penalties (d, 2^d) to best parent sets, by growing masks bit by bit."""
    d = len(penalty)
    masks = np.arange(1 << d)
    best, parents = np.empty((d, 1 << d)), np.tile(masks, (d, 1))
    for node in range(d):
        without = masks & ~(1 << node)
        local = h[without | 1 << node] - h[without] + penalty[node, without]
        chosen = without.copy()
        for bit in range(d):
            smaller = masks & ~(1 << bit)
            better = local[smaller] < local
            local = np.where(better, local[smaller], local)
            chosen = np.where(better, chosen[smaller], chosen)
        best[node], parents[node] = local, chosen
    return ParentTable(best, parents)


def _members(d: int) -> npt.NDArray[np.bool_]:
    return (np.arange(1 << d)[:, None] >> np.arange(d) & 1).astype(bool)


def gaussian_bic(covariance: Reals, rows: int, factor: float = 1.0) -> ParentTable:
    """Local cost m/2 log(residual variance of j given S) + factor |S|/2 log m."""
    d = len(covariance)
    inside = _members(d)
    blocks = np.where(inside[:, :, None] & inside[:, None, :], covariance, np.eye(d))
    h = rows / 2 * np.linalg.slogdet(blocks)[1]
    penalty = np.broadcast_to(factor * inside.sum(1) / 2 * np.log(rows), (d, 1 << d))
    return parent_table(h, penalty)


def _cells(codes: npt.NDArray[np.int64], levels: int, inside: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Counts of the occupied cells of one contingency table."""
    index = np.zeros(len(codes), dtype=np.int64)
    for column in np.flatnonzero(inside):
        index = index * levels + codes[:, column]
    counts = np.bincount(index) if levels ** int(inside.sum()) <= 1 << 16 else np.unique(index, return_counts=True)[1]
    return np.asarray(counts[counts > 0])


def discrete_bic(codes: npt.NDArray[np.int64], levels: int, factor: float = 1.0) -> ParentTable:
    """Local cost m H(j | S) + factor (levels - 1) levels^|S| / 2 · log m; codes (m, d) in 0 .. levels - 1."""
    m, d = codes.shape
    inside = _members(d)
    h = np.empty(1 << d)
    for mask in range(1 << d):
        counts = _cells(codes, levels, inside[mask])
        h[mask] = -(counts * np.log(counts / m)).sum()
    penalty = factor * (levels - 1) * float(levels) ** inside.sum(1) / 2 * np.log(m)
    return parent_table(h, np.broadcast_to(penalty, (d, 1 << d)))


def bdeu(codes: npt.NDArray[np.int64], levels: int, sample_size: float) -> ParentTable:
    """Minus the log marginal likelihood under the Dirichlet prior with equal sample sizes for equivalent graphs."""
    d = codes.shape[1]
    inside = _members(d)
    h = np.empty(1 << d)
    for mask in range(1 << d):
        counts = _cells(codes, levels, inside[mask])
        share = sample_size / float(levels) ** int(inside[mask].sum())
        h[mask] = -(gammaln(share + counts) - gammaln(share)).sum()
    return parent_table(h, np.zeros((d, 1 << d)))


class TableCost:
    """An order's cost by table look-up: the best parents of each node among its predecessors."""

    def __init__(self, table: ParentTable, like: Tensor) -> None:
        self.n = len(table.best)
        self._best = torch.as_tensor(table.best, dtype=like.dtype, device=like.device).flatten()

    def __call__(self, order: Tensor) -> Tensor:
        bits = torch.bitwise_left_shift(torch.ones_like(order), order)
        before = bits.cumsum(-1) - bits
        return self._best[order * (1 << self.n) + before].sum(-1)
