"""How many slots a sweep may have: as many as fit, and with `--concurrency auto` as many as the memory allows."""

from __future__ import annotations

from collections.abc import Sequence


class SlotLimit:
    """The number of slots, which may change as trials show how much memory they need.

    Args:
        most: what fits by CPUs and GPUs, or what was asked for.
        memory_gib: memory of each machine, if the number of slots depends on it; empty: it does not.
        workers: processes of one slot.

    Attributes:
        granted: how many slots the other sweeps of the cluster leave to this one; None: not known.
    """

    def __init__(self, most: int, memory_gib: Sequence[float] = (), workers: int = 1) -> None:
        self._most, self._memory_gib, self._workers = most, tuple(memory_gib), workers
        self._peak_gib = 0.0
        self.granted: int | None = None

    def on_memory(self, gib: float) -> None:
        """Take in the peak memory of a worker, as it has reported it."""
        self._peak_gib = max(self._peak_gib, gib)

    @property
    def slots(self) -> int:
        """How many slots there may be."""
        return self.wanted if self.granted is None else min(self.wanted, self.granted)

    @property
    def wanted(self) -> int:
        """How many there could be without other sweeps; one while memory counts and none has been measured."""
        if not self._memory_gib:
            return self._most
        if not self._peak_gib:
            return 1
        workers = sum(int(memory / self._peak_gib) for memory in self._memory_gib)
        return min(self._most, max(1, workers // self._workers))
