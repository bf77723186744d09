"""Linear structural equation models on random graphs, drawn as in the NOTEARS benchmark.

References:
    Zheng, Aragam, Ravikumar, Xing, DAGs with NO TEARS, NeurIPS 2018, arXiv 1803.01422, section 4 and released code.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trainables.permutations.tasks.causal.graphs import Graph, topological

Reals = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """Rows of a linear SEM.

    Args:
        rows: (m, d).
        truth: (d, d), edge[i, j]: i -> j.
        weights: (d, d), zero off the edges.
    """

    rows: Reals
    truth: Graph
    weights: Reals


def random_graph(kind: str, d: int, edges: int, rng: np.random.Generator) -> Graph:
    """A DAG of d nodes with `edges` edges ("er", "bp") or about so many ("sf"), its nodes relabelled at random.

    er: uniformly among the pairs. sf: each new node points away from `edges / d` earlier ones, chosen in proportion to
    their degree (Barabasi-Albert). bp: from a first fifth of the nodes to the others.
    """
    graph = np.zeros((d, d), dtype=bool)
    if kind == "sf":
        each = max(1, round(edges / d))
        for node in range(1, d):
            degree = graph[:node].sum(1) + graph[:, :node].sum(0) + 1.0
            count = min(each, node)
            graph[rng.choice(node, count, replace=False, p=degree / degree.sum()), node] = True
    else:
        top = max(1, d // 5)
        sources, targets = np.triu_indices(d, 1) if kind == "er" else np.indices((top, d - top)).reshape(2, -1)
        targets = targets if kind == "er" else targets + top
        chosen = rng.choice(len(sources), min(edges, len(sources)), replace=False)
        graph[sources[chosen], targets[chosen]] = True
    relabel = rng.permutation(d)
    return graph[np.ix_(relabel, relabel)]


_NOISE: dict[str, Callable[[np.random.Generator, int], Reals]] = {
    "normal": lambda rng, m: rng.normal(size=m),
    "exp": lambda rng, m: rng.exponential(size=m),
    "gumbel": lambda rng, m: rng.gumbel(size=m),
    "uniform": lambda rng, m: rng.uniform(-1.0, 1.0, size=m),
    "logistic": lambda rng, m: rng.logistic(size=m),
}


def draw(kind: str, d: int, edges: int, rows: int, noise: str, rng: np.random.Generator) -> Sample:
    """A graph, weights uniform in ±[0.5, 2], and rows x_j = sum_i w_ij x_i + noise."""
    truth = random_graph(kind, d, edges, rng)
    weights = truth * rng.uniform(0.5, 2.0, (d, d)) * rng.choice([-1.0, 1.0], (d, d))
    data = np.zeros((rows, d))
    for node in topological(truth):
        data[:, node] = data @ weights[:, node] + _NOISE[noise](rng, rows)
    return Sample(data, truth, weights)
