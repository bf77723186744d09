"""Reads what trials reported: one table for all bursts, from finished bursts' tables and running bursts' logs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from raybayes.errors import StoreError
from raybayes.store import parquet
from raybayes.store.filesystem import Storage
from raybayes.store.layout import Layout

FIXED = pa.schema(
    [
        ("trial", pa.int64()),
        ("repeat", pa.int64()),
        ("attempt", pa.int64()),
        ("step", pa.int64()),
        ("seconds", pa.float64()),  # of training of this trial, up to the report
        ("time", pa.float64()),  # Unix epoch
        ("node", pa.string()),
    ]
)
Row = dict[str, Any]
Ints = NDArray[np.int64]
_NAMES = frozenset(FIXED.names)
_FILE = re.compile(r"burst-(\d{4,})(?:-part-(\d{6,}))?\.(jsonl|parquet)")


def next_burst_number(layout: Layout) -> int:
    """The number of the burst that starts now: one more than the highest with reports, from 0."""
    return max((burst for burst, _, _ in list_report_files(layout)), default=-1) + 1


def compact_reports(layout: Layout) -> None:
    """Convert the logs of dead bursts into Parquet. Only the holder of the sweep's lock may call it."""
    for burst in sorted({burst for burst, _, _ in list_report_files(layout)}):
        compact_burst(layout, burst)


@dataclass(frozen=True)
class BrokenReports:
    """A file of reports, or a line of it (from 1), that cannot be read.

    Args:
        torn: whether it is the incomplete last line that a crash leaves.
    """

    path: str
    line: int | None
    what: str
    torn: bool = False


def read_reports(layout: Layout, broken: list[BrokenReports] | None = None) -> pa.Table:
    """All reports of all bursts, including a running one.

    An incomplete last line after a crash is ignored. From the first step of a later attempt on, which resumed from an
    older checkpoint or began again, only that attempt counts.

    Args:
        broken: gets what cannot be read, and the rest is returned; None: a damaged file is an error.

    Returns:
        One row per (trial, repeat, step), in that order. Columns: trial, repeat, attempt, step (int64), seconds
        (float64, of training), time (float64, Unix epoch), node (string), then one float64 column per metric: null
        where it was not reported, NaN and infinities unchanged.

    Raises:
        StoreError: a file is damaged before its last line; the message names file and line.
    """
    try:
        pieces = list(_pieces(layout, broken))
    except StoreError as error:
        if not isinstance(error.__cause__, FileNotFoundError):
            raise
        pieces = list(_pieces(layout, broken))  # the burst ended meanwhile: its log has become a table
    return _keep_latest_attempts(_concatenate(pieces))


def trials_of_bursts(layout: Layout, broken: list[BrokenReports] | None = None) -> dict[int, list[int]]:
    """Which trials have reported in each burst. `broken` is as in `read_reports`."""
    found: dict[int, set[int]] = {}
    for burst, paths in _sources(layout).items():
        for table in _tables(layout, paths, broken):
            found.setdefault(burst, set()).update(table["trial"].to_pylist())
    return {burst: sorted(trials) for burst, trials in sorted(found.items())}


def list_report_files(layout: Layout) -> list[tuple[int, int | None, str]]:
    """(burst, part or None, path) of every file of reports, by burst and part."""
    found = []
    for name in layout.storage.list(layout.reports):
        if match := _FILE.fullmatch(name):
            found.append((int(match[1]), int(match[2]) if match[2] else None, f"{layout.reports}/{name}"))
    return sorted(found, key=lambda file: (file[0], -1 if file[1] is None else file[1], file[2]))


def _sources(layout: Layout) -> dict[int, list[str]]:
    """The files to read of each burst: its table if it has one, else its log."""
    sources: dict[int, list[str]] = {}
    for burst, _, path in list_report_files(layout):
        sources.setdefault(burst, []).append(path)
    # The table is complete before the log is deleted: if both exist, only the table counts.
    return {
        burst: [layout.report_table(burst)] if layout.report_table(burst) in paths else paths
        for burst, paths in sources.items()
    }


def _pieces(layout: Layout, broken: list[BrokenReports] | None) -> Iterable[pa.Table]:
    for paths in _sources(layout).values():
        yield from _tables(layout, paths, broken)


def _tables(layout: Layout, paths: Iterable[str], broken: list[BrokenReports] | None) -> Iterable[pa.Table]:
    for path in paths:
        try:
            table = _read(layout.storage, path, broken)
        except StoreError as error:
            if broken is None or isinstance(error.__cause__, FileNotFoundError):
                raise
            broken.append(BrokenReports(path, None, "not a complete Parquet file"))
        else:
            yield table


def _read(storage: Storage, path: str, broken: list[BrokenReports] | None = None) -> pa.Table:
    if path.endswith(".parquet"):
        return parquet.read_table(storage, path)
    rows, damaged = parse_lines(storage.read_bytes(path), path)
    for each in damaged if broken is None else ():
        if not each.torn:
            folder = storage.display
            raise StoreError(
                f"{storage.display_path(path)}:{each.line}: this line is not a complete report, and others follow it, "
                f"so the file was damaged after it was written; mend it with raybayes check {folder} --repair."
            )
    if broken is not None:
        broken += damaged
    return as_table(rows)


def parse_lines(data: bytes, path: str) -> tuple[list[Row], list[BrokenReports]]:
    """The reports of a log, and the lines that are none."""
    lines = data.split(b"\n")
    last = max((number for number, line in enumerate(lines) if line.strip()), default=-1)
    rows: list[Row] = []
    broken = []
    for number, line in enumerate(lines[: last + 1]):
        try:
            row = json.loads(line)
            if not isinstance(row, dict) or not row.keys() >= _NAMES or not isinstance(row["trial"], int):
                raise ValueError("not a report")
        except ValueError:
            broken.append(BrokenReports(path, number + 1, "not a complete report", torn=number == last))
        else:
            rows.append(row)
    return rows, broken


def as_table(rows: list[Row]) -> pa.Table:
    metrics = dict.fromkeys(name for row in rows for name in row if name not in _NAMES)
    fixed = [pa.array([row[field.name] for row in rows], field.type) for field in FIXED]
    values = [pa.array([row.get(name) for row in rows], pa.float64()) for name in metrics]
    return pa.Table.from_arrays(fixed + values, names=[*FIXED.names, *metrics])


def _concatenate(pieces: list[pa.Table]) -> pa.Table:
    return pa.concat_tables([FIXED.empty_table(), *pieces], promote_options="default")


def _keep_latest_attempts(table: pa.Table) -> pa.Table:
    trial, repeat, attempt, step = (table[name].to_numpy() for name in ("trial", "repeat", "attempt", "step"))
    order = np.lexsort((np.arange(len(table)), attempt, step, repeat, trial))
    keys = np.stack([trial[order], repeat[order], step[order]])
    last_of_its_step = np.ones(len(table), dtype=bool)
    last_of_its_step[:-1] = (keys[:, 1:] != keys[:, :-1]).any(axis=0)
    kept = order[last_of_its_step]
    return table.take(kept[_not_superseded(trial[kept], repeat[kept], attempt[kept])]).combine_chunks()


def _not_superseded(trial: Ints, repeat: Ints, attempt: Ints) -> NDArray[np.bool_]:
    """Which rows, by trial, repeat and step, have no row of a later attempt before them: those it has replaced."""
    run = np.cumsum(np.r_[0, (np.diff(trial) != 0) | (np.diff(repeat) != 0)]) if len(trial) else trial
    least = run * (attempt.max(initial=0) + 1)  # so that the running maximum starts anew in each run
    return np.asarray(np.maximum.accumulate(least + attempt) - least <= attempt)


def compact_burst(layout: Layout, burst: int) -> None:
    paths = _sources(layout).get(burst, [])
    target = layout.report_table(burst)
    if paths and paths != [target]:
        table = _concatenate([_read(layout.storage, path) for path in paths])
        parquet.write_table(layout.storage, target, table)
    for found, _, path in list_report_files(layout):
        if found == burst and path != target:
            layout.storage.delete(path)
