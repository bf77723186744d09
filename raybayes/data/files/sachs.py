"""The protein-signalling cells of Sachs et al. (Science 2005), and the reference graphs that score orderings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
from pyarrow import csv

from raybayes.data.files.tables import conform, read_parquet
from raybayes.data.records import Column, DataSet
from raybayes.errors import DataError
from raybayes.wording import unknown

CELLS, EDGES = "sachs.parquet", "sachs_edges.csv"
GRAPHS = ("reported17", "consensus20", "cmu19", "cdt18")
_EDGE_COLUMNS = (
    Column("source", pa.string(), "the regulating protein"),
    Column("target", pa.string(), "the regulated protein"),
    *(Column(graph, pa.bool_(), "whether the edge is in this graph") for graph in GRAPHS),
)


def read_sachs(dataset: DataSet, paths: Mapping[str, Path]) -> dict[str, pa.Table]:
    """All cells, with each reference graph as JSON in the schema's metadata, as in the sample."""
    cells = read_parquet(paths[CELLS], dataset.columns)
    try:
        raw = csv.read_csv(paths[EDGES])
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{paths[EDGES]}: cannot be read as CSV ({error}); replace the file.") from error
    rows = conform(raw, _EDGE_COLUMNS, paths[EDGES]).to_pylist()
    # Keys as bytes, like those of the file's own metadata, which these replace.
    graphs = {
        graph.encode(): json.dumps([[row["source"], row["target"]] for row in rows if row[graph]]) for graph in GRAPHS
    }
    return {"all": cells.replace_schema_metadata({**(cells.schema.metadata or {}), **graphs})}


def edges(cells: pa.Table, graph: str = "consensus20") -> tuple[tuple[str, str], ...]:
    """The (source, target) pairs of a reference graph of `sachs` or `sachs-sample`.

    `reported17` is the network of the paper's figure as the bnlearn repository has it, `cmu19` and `consensus20` are
    acyclic too; `cdt18` has a cycle, so that no ordering can recover it. The sample has `reported17` and `consensus20`.

    Raises:
        DataError: the table has no such graph; the message lists those that it has.
    """
    metadata = cells.schema.metadata or {}
    if graph.encode() not in metadata:
        present = [name for name in GRAPHS if name.encode() in metadata]
        raise DataError(unknown("graph", graph, present, owner="this table"))
    return tuple((source, target) for source, target in json.loads(metadata[graph.encode()]))
