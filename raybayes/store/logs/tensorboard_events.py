"""TensorBoard's event files, one folder per trial, made from the stored reports: training never waits for them.

`tensorboard --logdir SWEEP/tensorboard` shows every metric of every trial over its steps, and the configurations as
hyperparameters. On a disk the files grow while the sweep runs; on an object store they are written when a burst ends.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.record_writer import masked_crc32c
from tensorboardX.summary import hparams

from raybayes.errors import StoreError
from raybayes.store.layout import Layout
from raybayes.store.logs.report_tail import ReportTail
from raybayes.store.logs.reports import FIXED, Row

_CONFIG = "config."
_VERSION = "brain.Event:2"
_MARK = re.compile(r"\.burst-(\d{4,})")


class EventFiles:
    """Writes the event files of a sweep from its reports. Only one process writes them: the driver of the burst.

    What a killed driver did not write, the next one writes.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._tail: ReportTail | None = None
        self._bursts: set[int] = set()
        self._started_files: set[str] = set()  # files
        self._held: dict[str, list[bytes]] = {}  # on an object store: what to write at the end
        self._attempts: dict[tuple[int, int], int] = {}

    def update(self) -> list[tuple[int, Row]]:
        """Write the reports since the last call, and return them as (burst, report).

        Raises:
            StoreError: the storage cannot be written.
        """
        if self._tail is None:
            marks = (_MARK.fullmatch(name) for name in self._layout.storage.list(self._layout.tensorboard))
            self._tail = ReportTail(self._layout, {int(mark[1]) for mark in marks if mark})
        new = self._tail.read_new()
        grown: dict[str, list[bytes]] = {}
        for burst, row in new:
            self._bursts.add(burst)
            path = self._layout.event_file(row["trial"], row["repeat"], burst)
            if path not in self._started_files and path not in grown:
                grown[path] = [_record(Event(wall_time=row["time"], file_version=_VERSION))]
            grown.setdefault(path, []).extend(self._records(row))
        for path, records in grown.items():
            if self._layout.storage.local:
                self._write(path, records)
            else:
                self._held.setdefault(path, []).extend(records)
            self._started_files.add(path)
        return new

    def close(self, trials: pa.Table | None, objectives: Sequence[str]) -> None:
        """Write the rest, and the configuration of each trial as TensorBoard hyperparameters.

        Args:
            trials: the table of trials; None if there is none.
            objectives: names of the metrics by which TensorBoard compares configurations.

        Raises:
            StoreError: the storage cannot be written.
        """
        self.update()
        for path, records in self._held.items():
            self._layout.storage.write_bytes(path, b"".join(records))
        self._held.clear()
        touched = {key[0] for key in self._attempts}
        for row in [] if trials is None else trials.to_pylist():
            if row["trial"] in touched:
                self._configuration(row, objectives)
        for burst in self._bursts:
            self._layout.storage.write_bytes(self._layout.event_mark(burst), b"")

    def _records(self, row: Row) -> list[bytes]:
        found = []
        key = row["trial"], row["repeat"]
        if self._attempts.get(key, row["attempt"]) != row["attempt"]:
            # The trial was resumed from a checkpoint: TensorBoard drops what it has from this step on.
            log = SessionLog(status=SessionLog.START)
            found.append(_record(Event(wall_time=row["time"], step=row["step"], session_log=log)))
        self._attempts[key] = row["attempt"]
        values = [
            Summary.Value(tag=name, simple_value=value)
            for name, value in row.items()
            if name not in FIXED.names and value is not None
        ]
        values.append(Summary.Value(tag="training seconds", simple_value=row["seconds"]))
        found.append(_record(Event(wall_time=row["time"], step=row["step"], summary=Summary(value=values))))
        return found

    def _write(self, path: str, records: Sequence[bytes]) -> None:
        file = self._layout.storage.writable_path(path)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with open(
                file, "ab" if path in self._started_files else "wb"
            ) as stream:  # an existing file is from a killed driver
                stream.write(b"".join(records))
        except OSError as error:
            raise StoreError(
                f"{self._layout.storage.display_path(path)}: cannot be written: {error.strerror}."
            ) from error

    def _configuration(self, row: Mapping[str, Any], objectives: Sequence[str]) -> None:
        chosen = {name.removeprefix(_CONFIG): value for name, value in row.items() if name.startswith(_CONFIG)}
        known = {name: value for name, value in chosen.items() if value is not None}
        if not known:
            return
        start = Event(wall_time=row["started"] or 0.0, file_version=_VERSION)
        parts = hparams(known, dict.fromkeys(objectives, math.nan))
        events = [start, *(Event(wall_time=row["ended"] or 0.0, summary=part) for part in parts)]
        folder = self._layout.event_file(row["trial"], 0, 0).rpartition("/")[0]
        data = b"".join(_record(event) for event in events)
        self._layout.storage.write_bytes(f"{folder}/events.out.tfevents.configuration.raybayes", data)


def _record(event: Event) -> bytes:
    """One event in the framing of TFRecord files: length, its checksum, data, its checksum."""
    data: bytes = event.SerializeToString()
    header = struct.pack("<Q", len(data))
    return b"".join((header, struct.pack("<I", masked_crc32c(header)), data, struct.pack("<I", masked_crc32c(data))))
