"""What data can tell of a graph: its skeleton, its equivalence class (CPDAG), and the effects it gets right (SID).

References:
    Meek, Causal inference and causal explanation with background knowledge, UAI 1995 (the rules of orientation).
    Peters, Bühlmann, Structural intervention distance for evaluating causal graphs, 2015, arXiv 1306.1043.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from trainables.permutations.tasks.causal.graphs import Graph


def skeleton(graph: Graph) -> Graph:
    """Which pairs are connected."""
    return graph | graph.T


def cpdag(graph: Graph) -> Graph:
    """The equivalence class of an acyclic graph: edge[i, j] and edge[j, i] where the direction is not determined."""
    joined = skeleton(graph)
    arrow = np.zeros_like(graph)
    for j in range(len(graph)):
        parents = np.flatnonzero(graph[:, j])
        for i in parents:
            if any(k != i and not joined[i, k] for k in parents):
                arrow[i, j] = True
    while True:
        line = joined & ~arrow & ~arrow.T
        more = np.zeros_like(graph)
        for i, j in np.argwhere(line):
            into = arrow[:, i] & ~joined[:, j]
            into[j] = False
            chain = arrow[i] & arrow[:, j]
            both = np.flatnonzero(line[i] & arrow[:, j])
            apart = any(not joined[a, b] for a in both for b in both if a < b)
            more[i, j] = bool(into.any() or chain.any() or apart)
        if not more.any():
            return joined & ~(arrow.T & ~arrow)
        arrow |= more & ~more.T


def class_distance(found: Graph, truth: Graph) -> int:
    """CPDAG SHD: pairs of variables that the two equivalence classes connect differently."""
    one, two = cpdag(found), cpdag(truth)
    differs = (one != two) | (one.T != two.T)
    return int(np.triu(differs, 1).sum())


def skeleton_distance(found: Graph, truth: Graph) -> int:
    """Pairs that only one of the two graphs connects."""
    return int(np.triu(skeleton(found) != skeleton(truth), 1).sum())


def sid(found: Graph, truth: Graph) -> int:
    """Structural intervention distance: ordered pairs (i, j) for which adjusting for the parents that `found` gives i
    does not yield the effect of i on j under `truth`."""
    d, below = len(truth), descendants(truth)
    wrong = 0
    for i in range(d):
        given = found[:, i]
        for j in range(d):
            if j == i:
                continue
            if given[j]:
                wrong += int(below[i, j])
            elif not _adjusts(truth, below, i, j, given):
                wrong += 1
    return wrong


def descendants(graph: Graph) -> Graph:
    """reach[i, j]: a directed path leads from i to j; every node reaches itself."""
    reach = graph | np.eye(len(graph), dtype=bool)
    for k in range(len(graph)):
        reach |= reach[:, k : k + 1] & reach[k : k + 1]
    return reach


def _adjusts(truth: Graph, below: Graph, i: int, j: int, given: npt.NDArray[np.bool_]) -> bool:
    """Whether adjusting for `given` yields the effect of i on j (Shpitser et al. 2010)."""
    on_path = below[[i]][0] & below[:, [j]][:, 0]
    on_path[i] = False
    if (given & below[on_path].any(0)).any():
        return False
    cut = truth.copy()
    cut[i, np.flatnonzero(on_path)] = False
    return not _connected(cut, descendants(cut) if given.any() else below, i, j, given)


def _connected(graph: Graph, below: Graph, i: int, j: int, given: npt.NDArray[np.bool_]) -> bool:
    """Whether a path between i and j is open given a set (Bayes ball)."""
    opens = np.asarray(below[:, given].any(1))
    seen, todo = set(), [(i, True)]
    while todo:
        node, upward = todo.pop()  # upward: reached from a child
        if (node, upward) in seen:
            continue
        seen.add((node, upward))
        if node == j:
            return True
        if (upward and not given[node]) or (not upward and opens[node]):
            todo += [(int(k), True) for k in np.flatnonzero(graph[:, node])]
        if not given[node]:
            todo += [(int(k), False) for k in np.flatnonzero(graph[node])]
    return False
