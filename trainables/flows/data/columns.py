"""Which columns of a user's table the flow sees, as what, and why it does not see the others.

Numbers are taken as they are, booleans as 0 and 1, text and categories one-hot where `columns` names them. A column
that numbers the rows says nothing about them and is left out unless it is named. Every column that is not used has a
reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from raybayes.errors import DataError

Kind = Literal["number", "yes or no", "one-hot", "list"]
RESERVED = ("label", "split")
_MOST_CATEGORIES = 64
_FEWEST_ROWS = 10  # fewer whole numbers in a row may be a coincidence


@dataclass(frozen=True)
class Feature:
    """One column as the flow reads it.

    Args:
        name: of the column.
        kind: what becomes of its cells.
        width: values per row.
        values: the categories of a one-hot column, in the order of its values.
    """

    name: str
    kind: Kind
    width: int = 1
    values: tuple[str, ...] = ()

    @property
    def discrete(self) -> bool:
        """Whether it takes few values, so that it has no density of its own."""
        return self.kind in ("yes or no", "one-hot")

    @property
    def names(self) -> list[str]:
        """One name per value."""
        if self.kind == "one-hot":
            return [f"{self.name} = {value}" for value in self.values]
        return [self.name] if self.width == 1 else [f"{self.name}[{number}]" for number in range(self.width)]

    def numbers(self, table: pa.Table, where: str) -> np.ndarray[Any, np.dtype[np.float64]]:
        """(rows, width); an empty cell is NaN. DataError if the table's column is of another kind."""
        column = _plain(table[self.name])
        match self.kind:
            case "list":
                return _lists(column, self.width, f"{where}: column {self.name!r}")
            case "one-hot":
                return self._one_hot(column, where)
            case "number" | "yes or no":
                if not (_is_number(column.type) or pa.types.is_boolean(column.type)):
                    raise DataError(f"{where}: column {self.name!r} has type {column.type}; it must hold numbers.")
                cells = column.cast(pa.int8()) if pa.types.is_boolean(column.type) else column
                found: np.ndarray[Any, np.dtype[np.float64]] = (
                    cells.cast(pa.float64(), safe=False).to_numpy().reshape(-1, 1)
                )
                return found

    def _one_hot(self, column: pa.ChunkedArray, where: str) -> np.ndarray[Any, np.dtype[np.float64]]:
        cells = column.cast(pa.string()).to_pylist()
        for row, cell in enumerate(cells):
            if cell not in self.values:
                raise DataError(f"{where}: column {self.name!r}, row {row} is {cell!r}; known categories:"
                                f" {', '.join(self.values)}.")  # fmt: skip
        return np.eye(len(self.values))[[self.values.index(cell) for cell in cells]]

    def record(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Self:
        """The inverse of `record`."""
        return cls(**{**record, "values": tuple(record["values"])})


def choose_features(
    table: pa.Table, columns: Sequence[str], ignore: Sequence[str], where: str
) -> tuple[tuple[Feature, ...], dict[str, str]]:
    """The columns that are used, and why each other one is not.

    Args:
        table: all rows of all splits.
        columns: the user's choice; empty: all that can be used.
        ignore: columns that are left out.

    Raises:
        DataError: a name is unknown or given twice, a chosen column cannot be used, or none can.
    """
    candidates = [name for name in table.column_names if name not in RESERVED]
    _require_names("columns", columns, candidates, where)
    _require_names("ignore", ignore, candidates, where)
    if both := sorted(set(columns) & set(ignore)):
        raise DataError(f"{where}: {both[0]!r} is in columns and in ignore; name it in one of them.")
    used: list[Feature] = []
    dropped = {name: "ignored" for name in ignore}
    if "features" in candidates and not columns:
        dropped |= {name: "beside the list column 'features'" for name in candidates if name != "features"}
        return (_chosen("features", table, where),), dropped
    for name in columns or [name for name in candidates if name not in ignore]:
        if not columns and (reason := _unusable(name, table[name])):
            dropped[name] = reason
        else:
            used.append(_chosen(name, table, where))
    if columns:
        dropped |= {name: "not in columns" for name in candidates if name not in columns and name not in dropped}
    if not used:
        raise DataError(
            f"{where}: no pictures (image, jpeg, png), no 'features' and no numeric columns; found"
            f" {', '.join(table.column_names)}; name columns to be used in columns."
        )
    return tuple(used), dropped


def matrix(table: pa.Table, features: Sequence[Feature], where: str) -> Tensor:
    """What the columns hold, (rows, values) float32.

    Raises:
        DataError: a column is missing, of another type, or has a cell that is empty or not finite; names it.
    """
    if missing := [feature.name for feature in features if feature.name not in table.column_names]:
        raise DataError(f"{where}: column(s) {', '.join(missing)} are missing; found {', '.join(table.column_names)}.")
    parts = []
    for feature in features:
        part = feature.numbers(table, where)
        wrong = np.argwhere(~np.isfinite(part))
        if len(wrong):
            row, column = map(int, wrong[0])
            raise DataError(f"{where}: row {row}, column {feature.names[column]!r} is {part[row, column]}; values must"
                            f" be finite: replace or drop it.")  # fmt: skip
        parts.append(part)
    return torch.from_numpy(np.concatenate(parts, 1).astype(np.float32))


def names_of(features: Sequence[Feature]) -> list[str]:
    """The name of each value, in order."""
    return [name for feature in features for name in feature.names]


def _require_names(what: str, given: Sequence[str], known: Sequence[str], where: str) -> None:
    for name in given:
        if name not in known:
            raise DataError(f"{where}: {what} names {name!r}, which is not a column; found {', '.join(known)}.")
    if twice := [name for name in given if list(given).count(name) > 1]:
        raise DataError(f"{where}: {what} names {twice[0]!r} twice; name it once.")


def _chosen(name: str, table: pa.Table, where: str) -> Feature:
    """A column as it is used; DataError if it cannot be."""
    column = _plain(table[name])
    kind = column.type
    if pa.types.is_boolean(kind):
        return Feature(name, "yes or no")
    if _is_number(kind):
        return Feature(name, "number")
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        values = tuple(sorted(value for value in pc.unique(column).to_pylist() if value is not None))
        if not 2 <= len(values) <= _MOST_CATEGORIES:
            raise DataError(f"{where}: column {name!r} has {len(values)} categories; one-hot takes 2 to"
                            f" {_MOST_CATEGORIES}; leave it out.")  # fmt: skip
        return Feature(name, "one-hot", len(values), values)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        lengths = {None if row is None else len(row) for row in column.to_pylist()}
        if len(lengths) != 1 or None in lengths:
            raise DataError(f"{where}: rows of {name!r} must have one length, found {sorted(map(str, lengths))[:5]}.")
        return Feature(name, "list", int(lengths.pop() or 0))
    raise DataError(f"{where}: column {name!r} has type {kind}; columns hold numbers, true or false, text, or lists.")


def _unusable(name: str, column: pa.ChunkedArray) -> str | None:
    """Why a column is not used unless the user names it, or None."""
    kind = _plain(column).type
    if pa.types.is_boolean(kind):
        return None
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return "text; columns takes it one-hot"
    if not _is_number(kind):
        return f"type {kind}"
    if name == "index":
        return "a running number; columns takes it as a number"
    if pa.types.is_integer(kind) and len(column) >= _FEWEST_ROWS and not column.null_count:
        cells = column.to_numpy()
        if len(np.unique(cells)) == len(cells):
            consecutive = int(cells.max()) - int(cells.min()) + 1 == len(cells)
            if consecutive or name.lower() == "id" or name.lower().endswith(("_id", " id")):
                return "a running number; columns takes it as a number"
    return None


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column with categories decoded."""
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))


def _lists(column: pa.ChunkedArray, width: int, where: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    rows = column.to_pylist()
    for number, row in enumerate(rows):
        if row is None or len(row) != width:
            raise DataError(f"{where}, row {number} has {0 if row is None else len(row)} values; wanted {width}.")
    return np.asarray(rows, np.float64).reshape(len(rows), width)
