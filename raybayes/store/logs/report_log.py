"""The reports of a running burst: a log that only grows, and becomes one Parquet file when the burst ends.

On a disk the log is a file of JSON lines; each flush is one write and one fsync, so a crash loses at most what came
after the last flush and tears at most the last line. Object stores cannot append, so there the log is a series of
small numbered Parquet files, at most one every few seconds.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from typing import Any

from raybayes.clock import WALL, Clock
from raybayes.errors import StoreError
from raybayes.store import parquet
from raybayes.store.filesystem import Storage, sync_folder
from raybayes.store.layout import Layout
from raybayes.store.logs.reports import Row, as_table, compact_burst, list_report_files

PART_INTERVAL_S = 5.0
_KINDS: dict[str, Callable[[Any], Any]] = {
    "trial": int,
    "repeat": int,
    "attempt": int,
    "step": int,
    "seconds": float,
    "time": float,
    "node": str,
}


class ReportLog:
    """The reports of one burst. One process writes them; `append` costs microseconds, `flush` makes them durable.

    Example:
        >>> with ReportLog(layout, next_burst(layout)) as log:                        # doctest: +SKIP
        ...     log.append({"trial": 0, "repeat": 0, "attempt": 0, "step": 1, "seconds": 2.5,
        ...                 "time": 1.7e9, "node": "n1", "loss": 0.3})
        ...     log.flush()

    Raises:
        StoreError: the burst already has reports.
    """

    def __init__(self, layout: Layout, burst: int, clock: Clock = WALL) -> None:
        if burst in {found for found, _, _ in list_report_files(layout)}:
            raise StoreError(
                f"{layout.storage.display_path(layout.reports)}: burst {burst} already has reports; start a new burst."
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
        """Add one report, in memory.

        Args:
            row: trial, repeat, attempt, step, seconds, time, node, and one number per metric; None means absent.

        Raises:
            StoreError: one of the seven is missing, a metric is not a number, or the log is closed.
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
        """Write all reports since the last flush: they survive this process, and with `sync` the machine.

        On an object store it does nothing within five seconds after the last flush; `close` writes the rest. If it
        raises StoreError (a full disk), the reports stay in memory and the next flush tries again.
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
        parquet.write_table(self._layout.storage, path, as_table(self._rows))
        self._parts += 1
        self._last_part_s = self._clock.elapsed()
        self._rows.clear()

    def close(self) -> None:
        """Flush, then convert the log into one Parquet file. A second close does nothing."""
        if self._closed:
            return
        if self._layout.storage.local:
            self.flush()
        elif self._rows:
            self._write_part()
        if self._file is not None:
            self._file.close()
        self._closed = True
        compact_burst(self._layout, self._burst)

    def __enter__(self) -> ReportLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _LineFile:
    """A new file that grows by complete, durable pieces. A piece that does not fit on the disk is removed again."""

    def __init__(self, storage: Storage, path: str) -> None:
        self._shown = storage.display_path(path)
        self._path = storage.writable_path(path)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o666)
            sync_folder(self._path.parent)
        except OSError as error:
            raise StoreError(f"{self._shown}: cannot create this log: {error.strerror}; check the storage.") from error
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


def _number(name: str, value: Any, row: Mapping[str, Any]) -> float:
    try:
        if isinstance(value, str | bytes):
            raise TypeError("text")
        return float(value)
    except (TypeError, ValueError):
        raise StoreError(
            f"trial {row['trial']}, step {row['step']}: {name} is {value!r}, which is not a number; report a float."
        ) from None
