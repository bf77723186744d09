"""TensorBoard's event files, one folder a trial, made from the stored reports: training never waits for them.

`tensorboard --logdir SWEEP/tensorboard` shows every metric of every trial over its steps, and the configurations as
hyperparameters. On a disk the files grow while the sweep runs; an object store gets them when a burst ends.
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
    """Keeps the event files of a sweep up with its reports. One process at a time writes them: the burst's driver.

    What a killed driver did not get to write is made good by the next one.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._follower: ReportTail | None = None
        self._bursts: set[int] = set()
        self._begun: set[str] = set()  # files
        self._held: dict[str, list[bytes]] = {}  # on an object store: what is to be written at the end
        self._attempts: dict[tuple[int, int], int] = {}

    def update(self) -> list[tuple[int, Row]]:
        """Write what has been reported since the last call, and return it as (burst, report).

        Raises:
            StoreError: the storage refuses.
        """
        if self._follower is None:
            marks = (_MARK.fullmatch(name) for name in self._layout.storage.list(self._layout.tensorboard))
            self._follower = ReportTail(self._layout, {int(mark[1]) for mark in marks if mark})
        news = self._follower.news()
        grown: dict[str, list[bytes]] = {}
        for burst, row in news:
            self._bursts.add(burst)
            path = self._layout.event_file(row["trial"], row["repeat"], burst)
            if path not in self._begun and path not in grown:
                grown[path] = [_record(Event(wall_time=row["time"], file_version=_VERSION))]
            grown.setdefault(path, []).extend(self._records(row))
        for path, records in grown.items():
            if self._layout.storage.local:
                self._write(path, records)
            else:
                self._held.setdefault(path, []).extend(records)
            self._begun.add(path)
        return news

    def close(self, trials: pa.Table | None, objectives: Sequence[str]) -> None:
        """Write the rest, and the configuration of each trial as TensorBoard's hyperparameters.

        Args:
            trials: the table of trials, or None if there is none.
            objectives: names of the metrics by which TensorBoard compares configurations.

        Raises:
            StoreError: the storage refuses.
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
            # The trial went on from a checkpoint: TensorBoard drops what it knows from this step on.
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
        file = self._layout.storage.local_path(path)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with open(file, "ab" if path in self._begun else "wb") as stream:  # an old one is that of a killed driver
                stream.write(b"".join(records))
        except OSError as error:
            raise StoreError(f"{self._layout.storage.shown(path)}: cannot be written: {error.strerror}.") from error

    def _configuration(self, row: Mapping[str, Any], objectives: Sequence[str]) -> None:
        chosen = {name.removeprefix(_CONFIG): value for name, value in row.items() if name.startswith(_CONFIG)}
        known = {name: value for name, value in chosen.items() if value is not None}
        if not known:
            return
        begun = Event(wall_time=row["started"] or 0.0, file_version=_VERSION)
        parts = hparams(known, dict.fromkeys(objectives, math.nan))
        events = [begun, *(Event(wall_time=row["ended"] or 0.0, summary=part) for part in parts)]
        folder = self._layout.event_file(row["trial"], 0, 0).rpartition("/")[0]
        data = b"".join(_record(event) for event in events)
        self._layout.storage.write_bytes(f"{folder}/events.out.tfevents.configuration.raybayes", data)


def _record(event: Event) -> bytes:
    """One event in the framing of TFRecord files: length, its checksum, data, its checksum."""
    data: bytes = event.SerializeToString()
    header = struct.pack("<Q", len(data))
    return b"".join((header, struct.pack("<I", masked_crc32c(header)), data, struct.pack("<I", masked_crc32c(data))))
