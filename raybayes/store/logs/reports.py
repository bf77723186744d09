"""What running trials report: a log that only grows while a burst runs, one Parquet file when it is over.

On a disk the log of a burst is a file of JSON lines; each flush is one write and one fsync, so a crash loses at most
what came after the last flush and tears at most the last line. Object stores cannot append, so there the log is
a row of small numbered Parquet files, written at most one every few seconds.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from raybayes.clock import WALL, Clock
from raybayes.errors import StoreError
from raybayes.store import parquet
from raybayes.store.filesystem import Storage, sync_folder
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
PART_INTERVAL_S = 5.0
Row = dict[str, Any]

_KINDS: dict[str, Callable[[Any], Any]] = {
    "trial": int,
    "repeat": int,
    "attempt": int,
    "step": int,
    "seconds": float,
    "time": float,
    "node": str,
}
_NAMES = frozenset(_KINDS)
_FILE = re.compile(r"burst-(\d{4,})(?:-part-(\d{6,}))?\.(jsonl|parquet)")


class ReportLog:
    """The reports of one burst. One process writes it; `append` costs microseconds, `flush` makes it durable.

    Example:
        >>> with ReportLog(layout, next_burst(layout)) as log:                        # doctest: +SKIP
        ...     log.append({"trial": 0, "repeat": 0, "attempt": 0, "step": 1, "seconds": 2.5,
        ...                 "time": 1.7e9, "node": "n1", "loss": 0.3})
        ...     log.flush()

    Raises:
        StoreError: the burst has reports already.
    """

    def __init__(self, layout: Layout, burst: int, clock: Clock = WALL) -> None:
        if burst in {found for found, _, _ in report_files(layout)}:
            raise StoreError(
                f"{layout.storage.shown(layout.reports)}: burst {burst} has reports already; go on with a new burst."
            )
        self._layout = layout
        self._burst = burst
        self._clock = clock
        self._rows: list[Row] = []
        self._file: _LineFile | None = None
        self._parts = 0
        self._last_part_s = -PART_INTERVAL_S
        self._closed = False

    def append(self, row: Mapping[str, Any]) -> None:
        """Take one report into memory.

        Args:
            row: trial, repeat, attempt, step, seconds, time, node, and one number a metric; None means absent.

        Raises:
            StoreError: one of the seven is missing, a metric is no number, or the log is closed.
        """
        if self._closed:
            raise StoreError(f"burst {self._burst}: its report log is closed; open a new burst to report more.")
        try:
            taken: Row = {name: kind(row[name]) for name, kind in _KINDS.items()}
        except (KeyError, TypeError, ValueError):
            missing = ", ".join(name for name in _KINDS if name not in row) or "a whole number, a time or a node"
            raise StoreError(f"a report lacks {missing}; it has {dict(row)!r}.") from None
        for name, value in row.items():
            if name not in taken and value is not None:
                taken[name] = _number(name, value, row)
        self._rows.append(taken)

    def flush(self, sync: bool = True) -> None:
        """Write all reports since the last flush: they survive this process, and with `sync` (one fsync) the machine.

        On an object store it does nothing within five seconds of the flush before; `close` writes the rest.
        If it raises StoreError (a full disk), the reports stay in memory and the next flush tries again.
        """
        if not self._rows and not (sync and self._file is not None):
            return
        if self._layout.storage.local:
            if self._file is None:
                self._file = _LineFile(self._layout.storage, self._layout.report_log(self._burst))
            self._file.append("".join(json.dumps(row) + "\n" for row in self._rows).encode(), sync)
            self._rows.clear()
        elif self._clock.elapsed() - self._last_part_s >= PART_INTERVAL_S:
            self._write_part()

    def _write_part(self) -> None:
        path = self._layout.report_part(self._burst, self._parts)
        parquet.write_table(self._layout.storage, path, _as_table(self._rows))
        self._parts += 1
        self._last_part_s = self._clock.elapsed()
        self._rows.clear()

    def close(self) -> None:
        """Flush, then turn the log into one Parquet file. A second close does nothing."""
        if self._closed:
            return
        if self._layout.storage.local:
            self.flush()
        elif self._rows:
            self._write_part()
        if self._file is not None:
            self._file.close()
        self._closed = True
        _compact(self._layout, self._burst)

    def __enter__(self) -> ReportLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _LineFile:
    """A new file that grows by whole, durable pieces. A piece that does not fit on the disk is taken back."""

    def __init__(self, storage: Storage, path: str) -> None:
        self._shown = storage.shown(path)
        self._path = storage.local_path(path)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o666)
            sync_folder(self._path.parent)
        except OSError as error:
            raise StoreError(f"{self._shown}: cannot start this log: {error.strerror}; check the storage.") from error
        self._size = 0

    def append(self, data: bytes, sync: bool) -> None:
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(self._handle, left) :]
            if sync:
                os.fsync(self._handle)
        except OSError as error:
            os.ftruncate(self._handle, self._size)
            raise StoreError(
                f"{self._shown}: cannot write {len(data)} bytes of reports: {error.strerror}; "
                "free some space or quota, the reports are still in memory."
            ) from error
        self._size += len(data)

    def close(self) -> None:
        os.close(self._handle)


def next_burst(layout: Layout) -> int:
    """The number of the burst that starts now: one more than any that has reported, from 0."""
    return max((burst for burst, _, _ in report_files(layout)), default=-1) + 1


def compact_reports(layout: Layout) -> None:
    """Turn the logs that dead bursts left behind into Parquet. Only the holder of the sweep's lock may call it."""
    for burst in sorted({burst for burst, _, _ in report_files(layout)}):
        _compact(layout, burst)


def read_reports(layout: Layout) -> pa.Table:
    """All reports of all bursts, those of a running one included.

    A last line that a crash has torn is ignored. Where a step was reported twice, because a trial went on from
    an older checkpoint, the later attempt counts.

    Returns:
        One row a (trial, repeat, step), in that order. Columns: trial, repeat, attempt, step (int64), seconds (float64,
        of training), time (float64, Unix epoch), node (string), then one float64 column a metric: null where it was
        not reported, NaN and infinities as they were.

    Raises:
        StoreError: a file is broken before its last line; the message names file and line.
    """
    try:
        pieces = list(_pieces(layout))
    except StoreError as error:
        if not isinstance(error.__cause__, FileNotFoundError):
            raise
        pieces = list(_pieces(layout))  # the burst ended while we looked: its log has become a table
    return _latest(_concatenated(pieces))


def report_files(layout: Layout) -> list[tuple[int, int | None, str]]:
    """(burst, part or None, path) of every file of reports, by burst and part."""
    found = []
    for name in layout.storage.list(layout.reports):
        if match := _FILE.fullmatch(name):
            found.append((int(match[1]), int(match[2]) if match[2] else None, f"{layout.reports}/{name}"))
    return sorted(found, key=lambda file: (file[0], -1 if file[1] is None else file[1], file[2]))


def _sources(layout: Layout) -> dict[int, list[str]]:
    """The files to read of each burst: its table if there is one, else what its log consists of."""
    sources: dict[int, list[str]] = {}
    for burst, _, path in report_files(layout):
        sources.setdefault(burst, []).append(path)
    # The table is written whole before the log goes, so where both are there, the log is what is left to be removed.
    return {
        burst: [layout.report_table(burst)] if layout.report_table(burst) in paths else paths
        for burst, paths in sources.items()
    }


def _pieces(layout: Layout) -> Iterable[pa.Table]:
    for paths in _sources(layout).values():
        yield from (_read(layout.storage, path) for path in paths)


def _read(storage: Storage, path: str) -> pa.Table:
    if path.endswith(".parquet"):
        return parquet.read_table(storage, path)
    return _as_table(_parse(storage.read_bytes(path), storage.shown(path)))


def _parse(data: bytes, shown: str) -> list[Row]:
    lines = data.split(b"\n")
    last = max((number for number, line in enumerate(lines) if line.strip()), default=-1)
    rows = []
    for number, line in enumerate(lines[: last + 1]):
        try:
            row = json.loads(line)
            if not isinstance(row, dict) or not row.keys() >= _NAMES:
                raise ValueError("no report")
        except ValueError:
            if number == last:
                break
            raise StoreError(
                f"{shown}:{number + 1}: this line is no whole report, and others follow it, so the file was damaged "
                "after it was written; restore it from a backup, or remove that line."
            ) from None
        rows.append(row)
    return rows


def _as_table(rows: list[Row]) -> pa.Table:
    metrics = dict.fromkeys(name for row in rows for name in row if name not in _NAMES)
    fixed = [pa.array([row[field.name] for row in rows], field.type) for field in FIXED]
    values = [pa.array([row.get(name) for row in rows], pa.float64()) for name in metrics]
    return pa.Table.from_arrays(fixed + values, names=[*FIXED.names, *metrics])


def _concatenated(pieces: list[pa.Table]) -> pa.Table:
    return pa.concat_tables([FIXED.empty_table(), *pieces], promote_options="default")


def _latest(table: pa.Table) -> pa.Table:
    trial, repeat, attempt, step = (table[name].to_numpy() for name in ("trial", "repeat", "attempt", "step"))
    order = np.lexsort((np.arange(len(table)), attempt, step, repeat, trial))
    keys = np.stack([trial[order], repeat[order], step[order]])
    last_of_its_step = np.ones(len(table), dtype=bool)
    last_of_its_step[:-1] = (keys[:, 1:] != keys[:, :-1]).any(axis=0)
    return table.take(order[last_of_its_step]).combine_chunks()


def _compact(layout: Layout, burst: int) -> None:
    paths = _sources(layout).get(burst, [])
    target = layout.report_table(burst)
    if paths and paths != [target]:
        table = _concatenated([_read(layout.storage, path) for path in paths])
        parquet.write_table(layout.storage, target, table)
    for found, _, path in report_files(layout):
        if found == burst and path != target:
            layout.storage.delete(path)


def _number(name: str, value: Any, row: Mapping[str, Any]) -> float:
    try:
        if isinstance(value, str | bytes):
            raise TypeError("text")
        return float(value)
    except (TypeError, ValueError):
        raise StoreError(
            f"trial {row['trial']}, step {row['step']}: {name} is {value!r}, which is no number; report a float."
        ) from None
