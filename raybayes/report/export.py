"""Writes tables of results where a user wants them, as CSV, Parquet or JSON."""

from __future__ import annotations

import json
import math
import os
import sys
from pathlib import Path
from typing import IO, Any, Literal

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from raybayes.errors import SpecError, StoreError

Kind = Literal["csv", "parquet", "json"]
KINDS: tuple[Kind, ...] = ("csv", "parquet", "json")
STDOUT = "-"


def write_long(table: pa.Table | None, file: str, kind: Kind) -> str:
    """Write a table into a local file ("-": to standard output); a half-written file never has that name.

    Returns:
        The file's name.

    Raises:
        SpecError: there is no table, the kind cannot hold one of its columns, or does not fit a terminal.
        StoreError: the file cannot be written.
    """
    if table is None:
        raise SpecError(f"{file}: the project gives no long table to write; leave the option out.")
    if kind == "csv":
        _require_flat(table, file)
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
    return file


def _write(table: pa.Table, stream: IO[bytes], kind: Kind) -> None:
    if kind == "csv":
        pyarrow.csv.write_csv(table, stream)
    elif kind == "parquet":
        pyarrow.parquet.write_table(table, stream)
    else:
        stream.write(json.dumps([_plain(row) for row in table.to_pylist()], indent=1, default=str).encode() + b"\n")


def _require_flat(table: pa.Table, file: str) -> None:
    for column in table.schema:
        if pa.types.is_nested(column.type):
            raise SpecError(
                f"{file}: CSV cannot hold the column {column.name!r} ({column.type}); use --format parquet or json."
            )


def _plain(value: Any) -> Any:
    """What JSON knows: a number that is none becomes null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return value
