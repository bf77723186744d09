"""Writes a long table of results, and figures, where a user wants them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from matplotlib.figure import Figure

from raybayes.errors import SpecError, StoreError
from raybayes.report import style
from raybayes.report.findings import file_name

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
        raise SpecError(f"{folder}: the project draws no figure here; leave the option out.")
    written = []
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        for caption, figure in figures.items():
            target = Path(folder) / f"{file_name(caption)}.png"
            target.write_bytes(style.rendered(figure, "png"))
            written.append(str(target))
    except OSError as error:
        raise StoreError(f"{folder} cannot be written: {error.strerror or error}; choose another place.") from None
    return written
