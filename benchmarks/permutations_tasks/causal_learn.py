"""Best order score search of causal-learn on the graphs of a run: a control that shares no code with raybayes."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from causallearn.search.PermutationBased.BOSS import boss
from causallearn.utils.PDAG2DAG import pdag2dag

from raybayes import catalog
from raybayes.seeds import derive
from trainables.permutations.tasks.causal import equivalence
from trainables.permutations.tasks.causal.graphs import Graph
from trainables.permutations.tasks.causal.problem import Rows, checked, simulated

OWN = 4.0  # causal-learn's default penalty, in units of BIC's
METRICS = ("skeleton_shd", "cpdag_shd", "sid")


def data_of(settings: Mapping[str, Any]) -> list[Rows]:
    """The data sets that a run with these settings and the seed 0 draws, scaled as there."""
    config: Any = catalog.configure(catalog.load_project("permutations"), dict(settings))
    seed = derive(derive(0, "trial", 0, 0), "rng", "data")
    return [checked(rows, config.causal.standardise) for rows in simulated(config.causal, config.runs, seed)]


def mixed(graph: npt.NDArray[np.int64]) -> Graph:
    """causal-learn's end marks as edge[i, j]; both directions where the mark is a line."""
    return np.asarray((graph == -1) & ((graph.T == 1) | (graph.T == -1)))


def found(rows: Rows, penalty: float) -> tuple[Graph, Graph]:
    """The equivalence class that BOSS finds, and a graph of it."""
    random.seed(0)
    made = boss(rows.values, parameters={"lambda_value": penalty / 2}, verbose=False)
    return mixed(made.graph), mixed(pdag2dag(made).graph)


def distances(kind: Graph, member: Graph, truth: Graph) -> dict[str, float]:
    """How far a class, and a graph of it, are from the truth."""
    target = equivalence.cpdag(truth)
    pairs = np.triu(equivalence.skeleton(kind) != equivalence.skeleton(truth), 1).sum()
    differs = np.triu((kind != target) | (kind.T != target.T), 1).sum()
    return dict(zip(METRICS, (float(pairs), float(differs), float(equivalence.sid(member, truth))), strict=True))


def scores(settings: Mapping[str, Any], true_edges: list[set[tuple[str, str]]]) -> list[dict[str, Any]]:
    """Rows of the table `scores`: BOSS with the run's penalty and with its own, on each data set.

    Args:
        true_edges: of each run, to be sure that the data are the run's.
    """
    made, rows = data_of(settings), []
    for run, one in enumerate(made):
        assert one.truth is not None
        assert true_edges[run] == {(one.names[i], one.names[j]) for i, j in np.argwhere(one.truth)}
        for penalty in dict.fromkeys((float(settings.get("causal.penalty", 1.0)), OWN)):
            began = time.process_time()
            kind, member = found(one, penalty)
            values = {**distances(kind, member, one.truth), "seconds": time.process_time() - began}
            method = f"causal-learn's BOSS, penalty {penalty:g}"
            rows += [{"method": method, "metric": metric, "run": run, "unit": 0, "value": value, "evaluations": 0}
                     for metric, value in values.items()]  # fmt: skip
    return rows
