"""A finished run on new rows: scores of documents (`rank`), a graph of a table by the run's order (`discover`)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import torch
from pydantic import BaseModel, ConfigDict, Field

from raybayes import data
from raybayes.contract import Findings, Finished
from raybayes.errors import DataError, SpecError
from trainables.permutations.queries import Queries, document_table, ndcg
from trainables.permutations.tasks.causal import equivalence, own
from trainables.permutations.tasks.causal.graphs import Graph, compare
from trainables.permutations.tasks.causal.growing import GaussianBic, GrowShrink, MultinomialBic
from trainables.permutations.tasks.ranking import Scorer


class RankSettings(BaseModel):
    """How documents are ranked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    k: int = Field(10, ge=1, le=1000, description="Places that the printed NDCG counts")
    trial: int | None = Field(None, ge=0, description="Which trial of a sweep; else the best")


class DiscoverSettings(BaseModel):
    """How a graph is fitted to new rows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    truth: str | None = Field(None, description="CSV file of the edges to judge by, a line cause,effect each")
    trial: int | None = Field(None, ge=0, description="Which trial of a sweep; else the best")


def _table(inputs: Sequence[str], command: str) -> dict[str, pa.Table]:
    if len(inputs) != 1:
        raise SpecError(f"{command} needs one file: raybayes {command} FILE --run PATH; found {len(inputs)}.")
    if not data.is_path(inputs[0]):
        raise DataError(f"found {inputs[0]}; {command} reads files that end in .parquet, .csv, .svm or .libsvm.")
    return data.load(inputs[0])


def rank(finished: Finished, inputs: Sequence[str], settings: RankSettings) -> Findings:
    """The score and place of each document, by the mean score of the run's scorers; NDCG if there are grades.

    Raises:
        SpecError, DataError: not one file, no run of ranking, or a table that does not fit.
    """
    table = document_table(pa.concat_tables(list(_table(inputs, "rank").values())))
    state = finished.state(settings.trial)
    if "scorer" not in state.get("problem", {}):
        raise SpecError("this run has no scorer; rank needs a run of task = ranking.")
    weights = [weight.double() for weight in state["optimiser"]["policy"]]
    features = torch.tensor(np.stack(table["features"].to_numpy()).astype(np.float64))
    if features.shape[1] != weights[0].shape[1]:
        raise DataError(f"{inputs[0]} has {features.shape[1]} features, and the run's scorer {weights[0].shape[1]}.")
    scores = Scorer.apply(weights, features).mean(0)
    ids = table["query_id"].to_numpy(zero_copy_only=False)
    places = np.zeros(len(ids), dtype=np.int64)
    for query in np.unique(ids):
        rows = np.flatnonzero(ids == query)
        places[rows[scores[rows].argsort(dim=-1, descending=True, stable=True).numpy()]] = np.arange(1, len(rows) + 1)
    listed = pa.table({"row": np.arange(len(ids)), "query_id": table["query_id"], "score": scores.numpy(),
                       "place": places, "relevance": table["relevance"]})  # fmt: skip
    return Findings({"documents": listed, f"NDCG@{settings.k}": _quality(table, weights, settings.k)}, {}, listed)


def _quality(table: pa.Table, weights: Sequence[torch.Tensor], k: int) -> pa.Table:
    try:
        queries = Queries.of(table, torch.zeros(1, dtype=torch.float64))
    except DataError:  # no query has a relevant document: nothing to judge by
        return pa.table({"queries": [0], "ndcg": pa.array([None], pa.float64())})
    scores = Scorer.apply(weights, queries.features.flatten(0, 1)).mean(0).reshape(queries.mask.shape)
    order = torch.where(queries.mask, scores, -torch.inf).argsort(dim=-1, descending=True, stable=True)
    values = ndcg(order, queries.relevance, k)
    error = float(values.std() / len(values) ** 0.5) if len(values) > 1 else 0.0
    return pa.table({"queries": [len(values)], "ndcg": [float(values.mean())], "ndcg.se": [error]})


def discover(finished: Finished, inputs: Sequence[str], settings: DiscoverSettings) -> Findings:
    """The edges that the order of the run's best search gives on new rows, by BIC.

    Raises:
        SpecError, DataError: not one file, no run of causal, or columns that do not fit.
    """
    tables = _table(inputs, "discover")
    if "variables" not in finished.tables:
        raise SpecError("this run has no order of variables; discover needs a run of task = causal.")
    rows = finished.table("variables", settings.trial).to_pylist()
    best = min(rows, key=lambda row: (row["best"], row["run"]))
    names = [row["variable"] for row in rows if (row["repeat"], row["run"]) == (best["repeat"], best["run"])]
    held = {name for table in tables.values() for name in table.column_names}
    if missing := [name for name in names if name not in held]:
        raise DataError(f"{inputs[0]} has no column {', '.join(missing)}, which the run's order has.")
    chosen = {split: table.select(names) for split, table in tables.items()}
    values, _, discrete = own.columns_of(chosen, (), "auto")
    own.require_varied(values, names)
    order = np.arange(len(names))  # the columns were selected in the run's order
    if discrete:
        graph = GrowShrink(MultinomialBic(values.astype(np.int64))).graph(order)
    else:
        graph = GrowShrink(GaussianBic(np.cov(values.T, bias=True), len(values))).graph(order)
    truth = None if settings.truth is None else own.read_edges(settings.truth, names)
    edges = _edges(graph, names)
    made = {"edges": edges} | ({} if truth is None else {"distance from the truth": _distances(graph, truth)})
    return Findings(made, {}, edges)


def _edges(graph: Graph, names: Sequence[str]) -> pa.Table:
    marks = equivalence.cpdag(graph)
    schema = pa.schema([("cause", pa.string()), ("mark", pa.string()), ("effect", pa.string())])
    listed = [
        {"cause": names[i], "mark": "--" if marks[j, i] else "->", "effect": names[j]} for i, j in np.argwhere(graph)
    ]
    return pa.Table.from_pylist(listed, schema)


def _distances(graph: Graph, truth: Graph) -> pa.Table:
    return pa.table({"skeleton": [equivalence.skeleton_distance(graph, truth)],
                     "cpdag": [equivalence.class_distance(graph, truth)], "shd": [compare(graph, truth).shd],
                     "sid": [equivalence.sid(graph, truth)]})  # fmt: skip
