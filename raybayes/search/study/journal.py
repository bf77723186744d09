"""Optuna's journal file with grouped writes: one write for everything since the last flush.

Optuna's own backend locks and syncs per parameter and per report, about 16 ms per trial. Here the operations stay in
memory until `flush`, which the sweep calls where it must not lose them: before a suggested trial starts, and after a
trial ended. Only one process writes at a time (`raybayes.store.lock`), so no line is missed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from optuna.storages.journal import BaseJournalBackend, JournalFileBackend

from raybayes.errors import StoreError
from raybayes.search.optuna_internals import OPERATIONS


class JournalError(StoreError):
    """A line of a study's journal is damaged before its last; `raybayes check` names it, and can mend it."""


class GroupedJournal(BaseJournalBackend):
    """A journal file with one writer, whose appended operations reach the disk at `flush`.

    Args:
        path: the file; created if it is missing.
        writer: whether this process may write. A reader never changes the file; a missing file reads as empty.

    Raises:
        JournalError: a complete line is damaged (a reader raises it when it reads).
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
            if sum(1 for _ in file) > stored:  # Optuna ignores a damaged last line
                raise self._broken(stored + 1, "it is not JSON")
        return stored

    def _read(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        number = log_number_from
        try:
            for number, log in enumerate(self._file.read_logs(log_number_from), log_number_from + 1):
                if not isinstance(log, dict) or log.get("op_code") not in OPERATIONS:
                    raise self._broken(number, "it is no operation that Optuna knows")
                yield log
        except ValueError as error:
            raise self._broken(number + 1, error) from None

    def _broken(self, line: int, why: object) -> JournalError:
        return JournalError(
            f"{self._path}:{line}: this line of the study's journal is damaged ({why}); name the damage with "
            f"raybayes check {os.path.dirname(self._path)}, and mend it with --repair."
        )

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        if log_number_from < self._stored or not self._writer:  # the file of a reader may have grown
            yield from self._read(log_number_from)
        for line in self._pending[max(0, log_number_from - self._stored) :]:
            yield json.loads(line)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        self._pending.extend(json.dumps(log, separators=(",", ":")) for log in logs)

    def flush(self, sync: bool = True) -> None:
        """Write what is pending: it survives a crash of this process, and with `sync` one of the machine.

        Raises:
            StoreError: the disk cannot be written (it is full, for example); what is pending stays in memory.
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
                file.truncate(whole)  # half a line would make all later lines unreadable
                raise


def drop_torn_line(path: Path) -> None:
    """Remove an incomplete last line after a crash: Optuna could not read anything that is appended to it."""
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
