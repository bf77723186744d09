"""Who trains what: the slots of a burst, and the job that each of them holds. It does not know Ray.

A slot is a process, or a group of processes that train together. It comes when there is work for it, takes one job
after the other, and leaves: when nothing is left to do, when it has trained enough for fresh processes to take over,
or because it was lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from raybayes.clock import WALL, Clock
from raybayes.engine.burst import Burst
from raybayes.engine.job import Done, Job, Key
from raybayes.engine.losses import Losses
from raybayes.engine.room import Room
from raybayes.errors import ClusterError, RaybayesError, StoreError

_STARTS = 2  # processes that could not even be made, until it is plain that none can


@dataclass(frozen=True)
class Turn:
    """The desk's answer to a slot that is free: a job, or none for now; `over`: none will ever come."""

    job: Job | None = None
    over: bool = False


@dataclass
class Slot:
    """What the desk knows of a slot."""

    opened: float  # when it was called for, on the clock's elapsed time
    key: Key | None = None  # the job that it holds
    turned: bool = False  # whether it has said a word
    start_s: float = 0.0  # that its processes took to start, until its first job has ended


class Roster:
    """The slots of one burst.

    Args:
        burst: what there is to do.
        room: how many slots there may be.
        note: gets where the time of a slot went with each job: the columns of `raybayes.store.profile`.

    Attributes:
        problem: why the burst must end, once that is plain: no slot can be started at all, or the storage refuses.
    """

    def __init__(
        self,
        burst: Burst,
        room: Room,
        clock: Clock = WALL,
        note: Callable[[Mapping[str, Any]], None] = lambda row: None,
    ) -> None:
        self._burst, self.room, self._clock, self._note = burst, room, clock, note
        self._slots: dict[int, Slot] = {}
        self._opened = 0
        self._starts = Losses()  # of slots that never said a word
        self._next_start = 0.0
        self._refused = False
        self.problem: RaybayesError | None = None

    @property
    def over(self) -> bool:
        """Whether no slot is needed any more."""
        return self.problem is not None or self._burst.over

    def open(self) -> int | None:
        """The number of a new slot, if there is work for one more than those that are on their way."""
        if self.over or len(self._slots) >= self.room.slots or self._clock.elapsed() < self._next_start:
            return None
        free = sum(slot.key is None for slot in self._slots.values())
        if free >= self._burst.waiting:
            return None
        self._opened += 1
        self._slots[self._opened] = Slot(self._clock.elapsed())
        return self._opened

    def turn(self, number: int, done: Done | None) -> Turn:
        """A slot has ended its job (`done`), if it had one, and takes the next."""
        slot = self._slots.get(number)
        if slot is None:  # it was taken for dead, and has woken since
            return Turn(over=True)
        if not slot.turned:
            slot.start_s = self._clock.elapsed() - slot.opened
        slot.turned, self._starts = True, Losses()
        if len(self._slots) > self.room.slots:
            self.leave(number, done)
            return Turn(over=True)
        self._keep(number, slot, done)
        job = self._burst.turn(done)
        slot.key = None if job is None else job.key
        return Turn(job, over=job is None and self._burst.over)

    def leave(self, number: int, done: Done | None) -> None:
        """A slot goes; its last job has ended in order."""
        slot = self._slots.pop(number, None)
        if slot is not None and done is not None:
            self._keep(number, slot, done)
            self._burst.finish(done.key, None, done.attempt)

    def refuse(self, reason: str) -> None:
        """The storage has refused something (it is full, say). No other trial would fare better: the burst ends."""
        self._refused = True
        self.problem = StoreError(reason)
        self._burst.stop()

    def _keep(self, number: int, slot: Slot, done: Done | None) -> None:
        if done is not None:
            spent = {**vars(done.spent), "starting": done.spent.starting + slot.start_s}
            slot.start_s = 0.0
            trial, repeat = done.key
            place = {"slot": number, "node": done.node, "trial": trial, "repeat": repeat, "ended": self._clock.now()}
            self._note({**place, **spent})

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
        elif self._burst.lost(slot.key, reason, False if self._refused else broken or None):
            return f"trial {slot.key[0]}: its worker was lost: {reason}"
        return None

    def _not_started(self, reason: str, broken: bool) -> None:
        now = self._clock.elapsed()
        error = self._starts.one_more(now, broken, _STARTS, reason)
        self._next_start = now + self._starts.pause_s
        if error is not None and all(slot.key is None for slot in self._slots.values()):
            self.problem = ClusterError(f"no worker could be started: {reason}; all is stored, go on with resume.")
