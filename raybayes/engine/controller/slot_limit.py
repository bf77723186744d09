"""How many slots a sweep may have: as many as fit, and with `--concurrency auto` as the memory allows."""

from __future__ import annotations

from collections.abc import Sequence


class SlotLimit:
    """The number of slots, which may change as trials show what they take.

    Args:
        most: what fits by CPUs and GPUs, or what was asked for.
        memory_gib: memory of each machine; then no more slots than have room in it. Empty: memory does not count.
        workers: processes of one slot.

    Attributes:
        granted: how many the other sweeps of the cluster leave to this one; None: nobody has said.
    """

    def __init__(self, most: int, memory_gib: Sequence[float] = (), workers: int = 1) -> None:
        self._most, self._memory_gib, self._workers = most, tuple(memory_gib), workers
        self._peak_gib = 0.0
        self.granted: int | None = None

    def seen(self, gib: float) -> None:
        """A worker has taken so much memory at its largest, up to a report."""
        self._peak_gib = max(self._peak_gib, gib)

    @property
    def slots(self) -> int:
        """How many there may be."""
        return self.wanted if self.granted is None else min(self.wanted, self.granted)

    @property
    def wanted(self) -> int:
        """How many there might be for this sweep alone; one where memory counts and nothing has been seen yet."""
        if not self._memory_gib:
            return self._most
        if not self._peak_gib:
            return 1
        workers = sum(int(memory / self._peak_gib) for memory in self._memory_gib)
        return min(self._most, max(1, workers // self._workers))
