"""Tables that trials save besides metrics (predictions, curves, detections): one Parquet data set per name."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pyarrow as pa

from raybayes.errors import StoreError
from raybayes.store import parquet
from raybayes.store.layout import Layout
from raybayes.wording import unknown

KEYS = ("trial", "repeat", "part")

# Readers of partitioned data sets skip names that start with "." or "_".
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_FILE = re.compile(r"trial=(\d+)/repeat=(\d+)/(" + _NAME.pattern + r")\.parquet")


def save_table(layout: Layout, name: str, part: str, trial: int, repeat: int, table: pa.Table) -> None:
    """Write one part of a table; saving a part again replaces it.

    Raises:
        StoreError: a name has other characters than letters, digits, '-', '_' and '.', the table has a column named
            trial, repeat or part, or the storage cannot be written.
    """
    for what, text in (("table", name), ("part", part)):
        if not _NAME.fullmatch(text):
            raise StoreError(
                f"{what} {text!r}: use a name of letters, digits, '-', '_' and '.' that starts with a letter or digit."
            )
    if taken := [column for column in KEYS if column in table.column_names]:
        raise StoreError(
            f"table {name!r}: the column {taken[0]!r} is reserved, it is added when the table is read; rename yours."
        )
    parquet.write_table(layout.storage, layout.table_part(name, part, trial, repeat), table)


def read_table(layout: Layout, name: str, trial: int | None = None, repeat: int | None = None) -> pa.Table:
    """All parts of a table, or those of one trial or repeat.

    Returns:
        The columns trial, repeat (int64) and part (string), then those of the table; rows by trial, repeat and part.
        A selection without parts is a table without rows.

    Raises:
        StoreError: there is no such table (the message lists all), or its parts have different columns.
    """
    files = sorted(_parts(layout, name))
    if not files:
        raise StoreError(unknown("table", name, list_tables(layout), owner=layout.storage.display))
    wanted = [file for file in files if trial in (None, file[0]) and repeat in (None, file[1])]
    pieces = [_with_keys(layout, name, *file) for file in wanted] or [_with_keys(layout, name, *files[0]).slice(0, 0)]
    try:
        return pa.concat_tables(pieces, promote_options="default")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise StoreError(
            f"{layout.storage.display_path(layout.table(name))}: its parts have different columns ({error}); "
            "read one trial at a time."
        ) from None


def list_tables(layout: Layout) -> list[str]:
    """The names of all tables that trials saved."""
    return [name for name in layout.storage.list(layout.tables) if any(True for _ in _parts(layout, name))]


def _parts(layout: Layout, name: str) -> Iterator[tuple[int, int, str]]:
    if not _NAME.fullmatch(name):
        return
    for path in layout.storage.sizes(layout.table(name)):
        if match := _FILE.fullmatch(path):
            yield int(match[1]), int(match[2]), match[3]


def _with_keys(layout: Layout, name: str, trial: int, repeat: int, part: str) -> pa.Table:
    table = parquet.read_table(layout.storage, layout.table_part(name, part, trial, repeat))
    rows = len(table)
    keys = [
        pa.repeat(pa.scalar(trial, pa.int64()), rows),
        pa.repeat(pa.scalar(repeat, pa.int64()), rows),
        pa.repeat(pa.scalar(part, pa.string()), rows),
    ]
    names = [*KEYS, *table.column_names]
    return pa.Table.from_arrays([*keys, *table.columns], names=names, metadata=table.schema.metadata)
