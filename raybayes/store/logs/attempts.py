"""The attempts of a sweep: one row for each time that a worker started a run, and why it ended.

While a burst runs they are a log of JSON lines, one at the start and one at the end of each attempt. The next write to
`attempts.parquet` takes it in: when the burst closes, or, if it was killed, when the next one opens the sweep.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from raybayes.clock import WALL, Clock
from raybayes.errors import StoreError
from raybayes.store import parquet
from raybayes.store.layout import Layout

SCHEMA = pa.schema(
    [
        ("trial", pa.int64()),
        ("repeat", pa.int64()),
        ("attempt", pa.int64()),
        ("burst", pa.int64()),
        ("node", pa.string()),
        ("began", pa.float64()),  # Unix epoch
        ("ended", pa.float64()),
        ("seconds", pa.float64()),
        ("end", pa.string()),  # one of ENDS
        ("cause", pa.string()),
    ]
)
COMPLETE, PRUNED, FAILED, PAUSED = "complete", "pruned", "failed", "paused"
LOST, NO_MEMORY, REQUEUED, NEEDLESS, KILLED = "worker lost", "out of memory", "requeued", "not needed", "burst killed"
ENDS = (COMPLETE, PRUNED, FAILED, PAUSED, LOST, NO_MEMORY, REQUEUED, NEEDLESS, KILLED)
UPLOAD_EVERY_S = 30.0
MOST_CAUSE = 500  # characters that are kept of a cause
Key = tuple[int, int, int]  # trial, repeat, attempt


class AttemptLog:
    """The attempts of one burst.

    Args:
        burst: its number.
    """

    def __init__(self, layout: Layout, burst: int, clock: Clock = WALL) -> None:
        self._layout, self._burst, self._clock = layout, burst, clock
        self._open: dict[Key, float] = {}
        self._lines: list[str] = []
        self._uploaded = -UPLOAD_EVERY_S
        with contextlib.suppress(StoreError):
            _take_in(layout)

    def on_start(self, trial: int, repeat: int, attempt: int, node: str) -> None:
        """A worker has started a run."""
        now = self._clock.now()
        self._open[trial, repeat, attempt] = now
        self._add(trial, repeat, attempt, node=node, began=now)

    def on_end(self, trial: int, repeat: int, attempt: int, end: str, cause: str | None = None) -> None:
        """An attempt has ended; of several ends of the same one, the first counts."""
        began = self._open.pop((trial, repeat, attempt), None)
        if began is not None:
            now = self._clock.now()
            if cause is not None:  # Parquet holds no lone surrogates
                cause = cause.partition("\n")[0][:MOST_CAUSE].encode("utf-8", "backslashreplace").decode()
            self._add(trial, repeat, attempt, ended=now, seconds=max(0.0, now - began), end=end, cause=cause)

    def _add(self, trial: int, repeat: int, attempt: int, **facts: Any) -> None:
        row = {"trial": trial, "repeat": repeat, "attempt": attempt, "burst": self._burst, **facts}
        self._lines.append(json.dumps(row) + "\n")

    def flush(self) -> None:
        """Write what is new. It is not worth a trial: if the storage cannot be written, the sweep goes on."""
        if not self._lines:
            return
        path, storage = self._layout.attempt_log(self._burst), self._layout.storage
        try:
            if not storage.local:  # object stores cannot append
                if self._clock.elapsed() - self._uploaded >= UPLOAD_EVERY_S:
                    storage.write_bytes(path, "".join(self._lines).encode())
                    self._uploaded = self._clock.elapsed()
                return
            file = storage.writable_path(path)
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("a") as stream:
                stream.write("".join(self._lines))
        except (OSError, StoreError):
            return
        self._lines.clear()

    def close(self) -> None:
        """End what has not ended, and make all bursts one table."""
        for trial, repeat, attempt in list(self._open):
            self.on_end(trial, repeat, attempt, PAUSED, "the burst ended")
        self._uploaded = -UPLOAD_EVERY_S
        self.flush()
        with contextlib.suppress(StoreError):
            _take_in(self._layout)


def read_attempts(layout: Layout) -> pa.Table:
    """All attempts of all bursts, in the order of trials, repeats and attempts. Raises StoreError if it is damaged.

    Returns:
        The columns of SCHEMA. `end` and `ended` are null of an attempt that still runs; a burst that was killed has
        left no end.
    """
    stored = [parquet.read_table(layout.storage, layout.attempts)] if layout.storage.exists(layout.attempts) else []
    rows = [row for table in stored for row in table.to_pylist()] + _logged(layout)
    rows.sort(key=lambda row: (row["trial"], row["repeat"], row["attempt"], row["burst"]))
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _logged(layout: Layout) -> list[dict[str, Any]]:
    merged: dict[tuple[int, ...], dict[str, Any]] = {}
    for path in _logs(layout):
        for row in _parsed(layout.storage.read_bytes(path).splitlines()):
            key = (row["burst"], row["trial"], row["repeat"], row["attempt"])
            merged.setdefault(key, dict.fromkeys(SCHEMA.names)).update(row)
    return list(merged.values())


def _parsed(lines: Iterable[bytes]) -> Iterable[dict[str, Any]]:
    for line in lines:
        try:
            row = json.loads(line)
            _ = row["burst"], row["trial"], row["repeat"], row["attempt"]
        except (ValueError, TypeError, KeyError):  # incomplete after a crash
            continue
        yield row


def _logs(layout: Layout) -> list[str]:
    names = [name for name in layout.storage.list(layout.attempt_logs) if name.endswith(".jsonl")]
    return [f"{layout.attempt_logs}/{name}" for name in names]


def _take_in(layout: Layout) -> None:
    """Make the logs of bursts that are over part of the table; only the holder of the sweep's lock may."""
    if not _logs(layout):
        return
    rows = read_attempts(layout).to_pylist()
    over = [{**row, "end": row["end"] or KILLED} for row in rows]
    parquet.write_table(layout.storage, layout.attempts, pa.Table.from_pylist(over, schema=SCHEMA))
    layout.storage.delete(layout.attempt_logs)


def end_of_loss(reason: str) -> str:
    """How an attempt is said to have ended whose worker is gone, from what the executor says about it."""
    told = reason.lower()
    return NO_MEMORY if any(text in told for text in ("low on memory", "out of memory", "outofmemory")) else LOST
