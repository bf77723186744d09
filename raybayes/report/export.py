"""Writes a long table of results where a user wants it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from raybayes.errors import SpecError, StoreError

Kind = Literal["csv", "parquet"]
_WRITERS = {"csv": pyarrow.csv.write_csv, "parquet": pyarrow.parquet.write_table}


def write_long(table: pa.Table | None, file: str, kind: Kind) -> str:
    """Write a table into a local file; a half-written file never has that name.

    Returns:
        The file's name.

    Raises:
        SpecError: there is no table.
        StoreError: the file cannot be written.
    """
    target = Path(file)
    if table is None:
        raise SpecError(f"{file}: the project gives no long table to write; leave the option out.")
    partial = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        _WRITERS[kind](table, str(partial))
        partial.replace(target)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise StoreError(f"{file} cannot be written: {error.strerror or error}; choose another place.") from None
    return file
