"""Writes tables of results (CSV, Parquet, JSON) and figures to the files that a user names."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Literal

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from matplotlib.figure import Figure

from raybayes.errors import SpecError, StoreError
from raybayes.reporting.figures import style
from raybayes.reporting.tables.findings import file_name

Kind = Literal["csv", "parquet", "json"]
KINDS: tuple[Kind, ...] = ("csv", "parquet", "json")
STDOUT = "-"


def write_long(table: pa.Table | None, file: str, kind: Kind) -> str:
    """Write a table to a local file ("-": standard output); an incomplete file never has that name.

    Returns:
        The file's name.

    Raises:
        SpecError: there is no table, or the format cannot hold a column or is not text for standard output.
        StoreError: the file cannot be written.
    """
    if table is None:
        raise SpecError(f"{file}: the project has no table of results to write; drop the option.")
    if kind == "csv":
        table = _with_texts(table)
        _require_flat(table, "standard output" if file == STDOUT else file)
    if file == STDOUT:
        if kind == "parquet":
            raise SpecError("Parquet is not text; name a file with --out, or use --format csv or json.")
        _write(table, sys.stdout.buffer, kind)
        sys.stdout.flush()
        return file
    target = Path(file)
    partial = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with partial.open("wb") as stream:
            _write(table, stream, kind)
        partial.replace(target)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise StoreError(f"{file} cannot be written: {error.strerror or error}; choose another place.") from None
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        partial.unlink(missing_ok=True)
        kinds = ", ".join(sorted({str(field.type) for field in table.schema if pa.types.is_nested(field.type)}))
        raise SpecError(f"{file}: CSV cannot hold columns of type {kinds}; write --parquet instead.") from None
    return file


def write_figures(figures: Mapping[str, Figure], folder: str) -> list[str]:
    """Write figures by caption into a local folder, as PNG files named by their captions.

    Returns:
        The files' names.

    Raises:
        SpecError: there is no figure.
        StoreError: the folder cannot be written.
    """
    if not figures:
        raise SpecError(f"{folder}: the project has no figure to write; drop the option.")
    written = []
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        for caption, figure in figures.items():
            target = Path(folder) / f"{file_name(caption)}.png"
            target.write_bytes(style.render_figure(figure, "png"))
            written.append(str(target))
    except OSError as error:
        raise StoreError(f"{folder} cannot be written: {error.strerror or error}; choose another place.") from None
    return written


def _write(table: pa.Table, stream: IO[bytes], kind: Kind) -> None:
    if kind == "csv":
        pyarrow.csv.write_csv(table, stream)
    elif kind == "parquet":
        pyarrow.parquet.write_table(table, stream)
    else:
        stream.write(json.dumps([_plain(row) for row in table.to_pylist()], indent=1, default=str).encode() + b"\n")


def _with_texts(table: pa.Table) -> pa.Table:
    """Parameters that are lists as JSON texts, which CSV can hold."""
    for place, field in enumerate(table.schema):
        if field.name.startswith("config.") and pa.types.is_list(field.type):
            values = [None if value is None else json.dumps(value) for value in table.column(place).to_pylist()]
            table = table.set_column(place, field.name, pa.array(values, pa.string()))
    return table


def _require_flat(table: pa.Table, file: str) -> None:
    for column in table.schema:
        if pa.types.is_nested(column.type):
            raise SpecError(
                f"{file}: CSV cannot hold the column {column.name!r} ({column.type}); use --format parquet or json."
            )


def _plain(value: Any) -> Any:
    """A value as JSON can hold it: NaN and infinities become null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return value
