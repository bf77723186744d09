"""Who trains what: the slots of a burst, and the job that each of them holds. It does not know Ray.

A slot is a process, or a group of processes that train together. It comes when there is work for it, takes one job
after the other, and leaves: when nothing is left to do, when it has trained enough for fresh processes to take over,
or because it was lost.
"""

from __future__ import annotations

from dataclasses import dataclass

from raybayes.clock import WALL, Clock
from raybayes.engine.burst import Burst
from raybayes.engine.job import Done, Job, Key
from raybayes.engine.losses import Losses

_STARTS = 2  # processes that could not even be made, until it is plain that none can


@dataclass(frozen=True)
class Turn:
    """The desk's answer to a slot that is free: a job, or none for now; `over`: none will ever come."""

    job: Job | None = None
    over: bool = False


@dataclass
class Slot:
    """What the desk knows of a slot."""

    key: Key | None = None  # the job that it holds
    turned: bool = False  # whether it has said a word


class Roster:
    """The slots of one burst.

    Args:
        burst: what there is to do.

    Attributes:
        problem: why no slot can be started at all, once that is plain.
    """

    def __init__(self, burst: Burst, clock: Clock = WALL) -> None:
        self._burst, self._clock = burst, clock
        self._slots: dict[int, Slot] = {}
        self._opened = 0
        self._starts = Losses()  # of slots that never said a word
        self._next_start = 0.0
        self.problem: str | None = None

    @property
    def over(self) -> bool:
        """Whether no slot is needed any more."""
        return self.problem is not None or self._burst.over

    def open(self) -> int | None:
        """The number of a new slot, if there is work for one more than those that are on their way."""
        if self.over or self._clock.elapsed() < self._next_start:
            return None
        free = sum(slot.key is None for slot in self._slots.values())
        if free >= self._burst.waiting:
            return None
        self._opened += 1
        self._slots[self._opened] = Slot()
        return self._opened

    def turn(self, number: int, done: Done | None) -> Turn:
        """A slot has ended its job (`done`), if it had one, and takes the next."""
        slot = self._slots.get(number)
        if slot is None:  # it was taken for dead, and has woken since
            return Turn(over=True)
        slot.turned, self._starts = True, Losses()
        job = self._burst.turn(done)
        slot.key = None if job is None else job.key
        return Turn(job, over=job is None and self._burst.over)

    def leave(self, number: int, done: Done | None) -> None:
        """A slot goes; its last job has ended in order."""
        if self._slots.pop(number, None) is not None and done is not None:
            self._burst.finish(done.key, None, done.attempt)

    def close(self, number: int, reason: str = "", broken: bool = False) -> str | None:
        """A slot has left or was lost; what it held goes on elsewhere, or fails.

        Args:
            reason: how the executor explains the loss.
            broken: its process could not even be made.

        Returns:
            A sentence for the log if a job lost its worker.
        """
        slot = self._slots.pop(number, None)
        if slot is None:
            return None
        if slot.key is None:
            if not slot.turned:
                self._not_started(reason, broken)
            return None
        error = self._burst.error_of(slot.key)
        if error is not None:
            self._burst.finish(slot.key, error)
        elif self._burst.lost(slot.key, reason, broken):
            return f"trial {slot.key[0]}: its worker was lost: {reason}"
        return None

    def _not_started(self, reason: str, broken: bool) -> None:
        now = self._clock.elapsed()
        error = self._starts.one_more(now, broken, _STARTS, reason)
        self._next_start = now + self._starts.pause_s
        if error is not None and all(slot.key is None for slot in self._slots.values()):
            self.problem = f"no worker could be started: {reason}"
