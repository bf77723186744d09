"""A user's own table for structure learning, and the edges that it should show, if they are known."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from raybayes.errors import DataError
from trainables.permutations.tasks.causal.graphs import Graph, from_edges

Kind = Literal["auto", "continuous", "discrete"]
LEVELS = 20  # most values of a discrete column


def columns_of(tables: Mapping[str, pa.Table], ignore: Sequence[str], kind: Kind) -> tuple[
    npt.NDArray[np.float64], tuple[str, ...], bool
]:  # fmt: skip
    """Values (m, d), column names, and whether they are codes of discrete columns.

    Raises:
        DataError: naming the columns that do not fit.
    """
    table = pa.concat_tables(list(tables.values()))
    if unknown := [name for name in ignore if name not in table.column_names]:
        raise DataError(f"causal.ignore names {', '.join(unknown)}; the table has {', '.join(table.column_names)}.")
    names = tuple(name for name in table.column_names if name not in ignore)
    if len(names) < 2:
        raise DataError(f"found {len(names)} columns to learn a graph of; it needs at least 2.")
    if gaps := [name for name in names if table[name].null_count]:
        raise DataError(f"found empty cells in {', '.join(gaps)}; fill or remove those rows, or use causal.ignore.")
    text = [name for name in names if not _is_number(table[name].type) and not pa.types.is_boolean(table[name].type)]
    real = [name for name in names if pa.types.is_floating(table[name].type)]
    discrete = kind == "discrete" or (kind == "auto" and not real)
    if not discrete and text:
        raise DataError(
            f"found text in {', '.join(text)} beside numbers; all columns must be continuous or all discrete: leave"
            f" some out with causal.ignore, or set causal.kind=discrete."
        )
    if len(table) <= len(names):
        raise DataError(f"found {len(table)} rows of {len(names)} columns; a graph needs more rows than columns.")
    if not discrete:
        return np.stack([table[name].cast(pa.float64()).to_numpy() for name in names], 1), names, False
    return np.stack([_codes(table[name], name) for name in names], 1).astype(np.float64), names, True


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _codes(column: pa.ChunkedArray, name: str) -> npt.NDArray[np.int64]:
    values = pc.unique(column)
    if len(values) > LEVELS:
        raise DataError(
            f"column {name} has {len(values)} different values, and a discrete column at most {LEVELS}; leave it out"
            f" with causal.ignore, or set causal.kind=continuous."
        )
    return np.asarray(pc.index_in(column, values).to_numpy())


def read_edges(path: str, names: Sequence[str]) -> Graph:
    """The graph of a CSV file with one edge a line, the cause first, under a header of two columns.

    Raises:
        DataError: no such file, a line without two names, an unknown column, a cycle; the message says which.
    """
    try:
        lines = list(csv.reader(Path(path).expanduser().read_text(encoding="utf-8").splitlines()))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error}); give a CSV file of edges, cause,effect.") from None
    edges = []
    for number, line in enumerate(lines, 1):
        words = [word.strip() for word in line]
        if not any(words) or (number == 1 and not set(words) & set(names)):
            continue  # the header
        if len(words) != 2 or not all(words):
            raise DataError(f"{path}, line {number}: found {','.join(words)!r}; an edge is cause,effect.")
        if words[0] == words[1]:
            raise DataError(f"{path}, line {number}: {words[0]} cannot cause itself; remove the line.")
        if unknown := [word for word in words if word not in names]:
            raise DataError(
                f"{path}, line {number}: there is no column {unknown[0]}; the data have {', '.join(names)}."
            )
        edges.append((words[0], words[1]))
    return from_edges(edges, names, f"{path}: remove an edge of it")


def require_varied(values: npt.NDArray[np.float64], names: Sequence[str]) -> None:
    """Raise DataError if a column is constant or holds a number that is not finite; names it."""
    if not np.isfinite(values).all():
        bad = [names[i] for i in np.flatnonzero(~np.isfinite(values).all(0)).tolist()]
        raise DataError(f"found values that are not finite in {', '.join(bad)}; remove those rows.")
    if (constant := np.flatnonzero(values.std(0) <= 1e-12 * (1 + np.abs(values).max(0)))).size:
        shown = ", ".join(names[i] for i in constant.tolist())
        raise DataError(f"found constant columns ({shown}), which carry no causal information; remove them.")
