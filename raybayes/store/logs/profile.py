"""The profile of a sweep: how each slot spent its time, one row per run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from raybayes.clock import WALL, Clock
from raybayes.errors import StoreError
from raybayes.store.layout import Layout

PARTS = ("asking", "starting", "training", "reporting", "saving", "tidying", "idle")
SCHEMA = pa.schema(
    [
        ("slot", pa.int64()),
        ("node", pa.string()),
        ("trial", pa.int64()),
        ("repeat", pa.int64()),
        ("ended", pa.float64()),  # Unix epoch
        *((part, pa.float64()) for part in PARTS),  # seconds
    ]
)
WRITE_EVERY_S = 1.0
UPLOAD_EVERY_S = 60.0


class ProfileLog:
    """The rows of one burst, as JSON lines. A crash may lose those of the last second.

    Args:
        burst: the number of the burst, the same as for its reports.
    """

    def __init__(self, layout: Layout, burst: int, clock: Clock = WALL) -> None:
        self._layout, self._burst, self._clock = layout, burst, clock
        self._lines: list[str] = []
        self._written = clock.elapsed()

    def append(self, row: Mapping[str, Any]) -> None:
        """Add one row, with the columns of SCHEMA."""
        self._lines.append(json.dumps(dict(row)) + "\n")
        every_s = WRITE_EVERY_S if self._layout.storage.local else UPLOAD_EVERY_S
        if self._clock.elapsed() - self._written >= every_s:
            self.flush()

    def flush(self) -> None:
        """Write the new rows. If the storage cannot be written, the sweep continues without a profile."""
        self._written = self._clock.elapsed()
        path = self._layout.profile(self._burst)
        try:
            if not self._layout.storage.local:  # object stores cannot append
                self._layout.storage.write_bytes(path, "".join(self._lines).encode())
                return
            file = self._layout.storage.writable_path(path)
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("a") as stream:
                stream.write("".join(self._lines))
        except (OSError, StoreError):
            return
        self._lines.clear()


def read_profile(layout: Layout) -> pa.Table:
    """All rows of all bursts, in the columns of SCHEMA; an incomplete last line after a crash is ignored."""
    rows = []
    for name in sorted(layout.storage.list(layout.profiles)):
        for line in layout.storage.read_bytes(f"{layout.profiles}/{name}").splitlines():
            try:
                rows.append(json.loads(line))
            except ValueError:
                break
    return pa.Table.from_pylist(rows, schema=SCHEMA)
