"""What a trial printed: the first and the last part of it, never more than a bound, whatever the trial prints."""

from __future__ import annotations

from collections import deque
from typing import IO

from raybayes.store.layout import Layout

HEAD = 500_000  # characters that are kept from the beginning
TAIL = 500_000  # and from the end


class TrialLog:
    """The log of one attempt of a trial, appended to those of earlier attempts.

    Args:
        layout: the sweep's paths.
        trial, repeat: whose log.
    """

    def __init__(self, layout: Layout, trial: int, repeat: int, head: int = HEAD, tail: int = TAIL) -> None:
        self._storage, self._path = layout.storage, layout.log(trial, repeat)
        self._left, self._tail_limit = head, tail
        self._tail: deque[str] = deque()
        self._tail_size = self._left_out = 0
        self._file: IO[str] | None = None
        self._earlier = b""
        self._whole: list[str] = []
        if self._storage.local:
            file = self._storage.writable_path(self._path)
            file.parent.mkdir(parents=True, exist_ok=True)
            self._file = file.open("a", encoding="utf-8", errors="backslashreplace", buffering=1)
        elif self._storage.exists(self._path):
            self._earlier = self._storage.read_bytes(self._path)

    def write(self, line: str) -> None:
        """Append a line; on a local storage it can be read at once, as long as the beginning is not full."""
        line = line.rstrip("\n") + "\n"
        if self._left >= len(line):
            self._left -= len(line)
            self._put(line)
            return
        self._left = 0
        self._tail.append(line)
        self._tail_size += len(line)
        while self._tail_size > self._tail_limit:
            dropped = self._tail.popleft()
            self._tail_size -= len(dropped)
            self._left_out += 1

    def close(self) -> None:
        """Write what is kept from the end."""
        if self._left_out:
            self._put(f"... {self._left_out} lines left out\n")
        self._put("".join(self._tail))
        self._tail.clear()
        if self._file is not None:
            self._file.close()
        elif self._whole:
            text = "".join(self._whole).encode("utf-8", "backslashreplace")
            self._storage.write_bytes(self._path, self._earlier + text)

    def _put(self, text: str) -> None:
        if self._file is not None:
            self._file.write(text)
        elif text:
            self._whole.append(text)


def read_log(layout: Layout, trial: int, repeat: int = 0) -> str | None:
    """What a trial printed in all its attempts; None if it kept nothing."""
    path = layout.log(trial, repeat)
    if not layout.storage.exists(path):
        return None
    return layout.storage.read_bytes(path).decode("utf-8", "backslashreplace")
