"""Directed graphs as boolean adjacency matrices, edge[i, j]: i -> j; and how far one is from another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from raybayes.errors import DataError

Graph = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Distance:
    """How far a graph is from the true one.

    Args:
        shd: missing + surplus + reversed edges; a reversal counts once.
        fdr: share of the found edges that are wrong (reversed ones included).
        tpr: share of the true edges that were found in their direction.
        fpr: wrong edges over the pairs that are not connected in truth.
        edges: found edges.
    """

    shd: int
    fdr: float
    tpr: float
    fpr: float
    edges: int


def compare(found: Graph, truth: Graph) -> Distance:
    """The structural Hamming distance and its parts, for graphs without two-cycles."""
    d = len(truth)
    right = found & truth
    reversed_ = found & truth.T & ~truth
    surplus = found & ~truth & ~truth.T
    missing = truth & ~found & ~found.T
    edges, true_edges = int(found.sum()), int(truth.sum())
    wrong = int(reversed_.sum() + surplus.sum())
    negatives = d * (d - 1) // 2 - true_edges
    return Distance(
        int(missing.sum()) + wrong, wrong / max(edges, 1), int(right.sum()) / max(true_edges, 1),
        wrong / max(negatives, 1), edges,
    )  # fmt: skip


def from_edges(
    edges: Sequence[tuple[str, str]],
    names: Sequence[str],
    mend: str = "choose an acyclic reference (reported17, consensus20, cmu19)",
) -> Graph:
    """The acyclic graph of a list of (source, target) names.

    Args:
        mend: what to do about a cycle, for the message.

    Raises:
        DataError: an edge between unknown variables, or a cycle, which the message spells out.
    """
    index = {name: i for i, name in enumerate(names)}
    graph = np.zeros((len(names), len(names)), dtype=bool)
    for source, target in edges:
        if source not in index or target not in index:
            raise DataError(f"the edge {source} -> {target} has an unknown variable; the data have {', '.join(names)}.")
        graph[index[source], index[target]] = True
    if cycle := find_cycle(graph):
        shown = " -> ".join(names[i] for i in [*cycle, cycle[0]])
        raise DataError(
            f"the reference graph has the cycle {shown}, so no order of the variables can recover it; {mend}."
        )
    return graph


def find_cycle(graph: Graph) -> list[int] | None:
    """The nodes of one directed cycle in their order, or None."""
    state = [0] * len(graph)  # 0 not seen, 1 on the path, 2 done
    path: list[int] = []

    def visit(node: int) -> list[int] | None:
        state[node] = 1
        path.append(node)
        for child in np.flatnonzero(graph[node]).tolist():
            if state[child] == 1:
                return path[path.index(child) :]
            if state[child] == 0 and (cycle := visit(child)) is not None:
                return cycle
        path.pop()
        state[node] = 2
        return None

    for node in range(len(graph)):
        if state[node] == 0 and (cycle := visit(node)) is not None:
            return cycle
    return None


def topological(graph: Graph) -> npt.NDArray[np.int64]:
    """An order of the nodes, causes first."""
    left, order = set(range(len(graph))), []
    while left:
        node = min(i for i in left if not any(graph[j, i] for j in left))
        order.append(node)
        left.remove(node)
    return np.array(order)
