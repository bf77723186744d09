"""Optuna's journal file with grouped writes: one write for everything since the last flush.

Optuna's own backend locks and syncs for each parameter and each report, about 16 ms a trial. Here the operations
are kept in memory until `flush`, which the sweep calls when a promise depends on them: before a suggested trial
starts, and after one has ended. One process writes at a time (`raybayes.store.lock`), so nobody misses a line.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from optuna.storages.journal import BaseJournalBackend, JournalFileBackend

from raybayes.errors import StoreError


class GroupedJournal(BaseJournalBackend):
    """A journal file of one writer, whose appends reach the disk at `flush`.

    Args:
        path: the file; made if it is missing.
        writer: whether this process may write. A reader never makes or changes the file; to it a missing one is empty.

    Raises:
        StoreError: a whole line is broken (to a reader: when it reads).
    """

    def __init__(self, path: str, writer: bool) -> None:
        if writer:
            drop_torn_line(Path(path))
        self._path, self._writer = path, writer
        self._file = JournalFileBackend(path if writer or Path(path).exists() else os.devnull)
        self._stored = self._whole_lines() if writer else 0
        self._pending: list[str] = []

    def _whole_lines(self) -> int:
        stored = sum(1 for _ in self._read(0))
        with open(self._path, "rb") as file:
            if sum(1 for _ in file) > stored:  # Optuna forgives the last line until another one follows
                raise self._broken(f"line {stored + 1} is no JSON")
        return stored

    def _read(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        try:
            yield from self._file.read_logs(log_number_from)
        except ValueError as error:
            raise self._broken(error) from None

    def _broken(self, why: object) -> StoreError:
        return StoreError(f"{self._path}: a line of the study's journal is broken ({why}); restore a copy.")

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        if log_number_from < self._stored or not self._writer:  # to a reader the file may have grown
            yield from self._read(log_number_from)
        for line in self._pending[max(0, log_number_from - self._stored) :]:
            yield json.loads(line)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        self._pending.extend(json.dumps(log, separators=(",", ":")) for log in logs)

    def flush(self, sync: bool = True) -> None:
        """Write what is pending: no crash of this process loses it, and with `sync` none of the machine.

        Raises:
            StoreError: the disk refuses (it is full, say); what is pending stays in memory.
        """
        if not self._writer:
            return
        try:
            if self._pending:
                self._append("".join(f"{line}\n" for line in self._pending).encode())
                self._stored += len(self._pending)
                self._pending.clear()
            if sync:
                with open(self._path, "rb") as file:
                    os.fsync(file.fileno())
        except OSError as error:
            raise StoreError(
                f"{self._path}: the study's journal cannot be written: {error.strerror}; free some space or quota."
            ) from error

    def _append(self, data: bytes) -> None:
        with open(self._path, "ab", buffering=0) as file:
            whole = file.tell()
            try:
                left = memoryview(data)
                while left:
                    left = left[file.write(left) or 0 :]
            except OSError:
                file.truncate(whole)  # half a line would make the rest unreadable
                raise


def drop_torn_line(path: Path) -> None:
    """Cut a last line that a crash left without its end: Optuna would refuse everything that is appended to it."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        keep = size = file.seek(0, 2)
        while keep > 0:
            start = max(0, keep - 65536)
            file.seek(start)
            newline = file.read(keep - start).rfind(b"\n")
            if newline >= 0:
                keep = start + newline + 1
                break
            keep = start
        if keep < size:
            file.truncate(keep)
