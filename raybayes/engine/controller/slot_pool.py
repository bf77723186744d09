"""Who trains what: the slots of a burst, and the job that each of them holds. It does not know Ray.

A slot is a process, or a group of processes that train together. It comes when there is work for it, takes one job
after the other (or several at a time, see `fusion.py`), and leaves: when nothing is left to do, when it
has trained enough for fresh processes to take over, or because it was lost.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from raybayes.clock import WALL, Clock
from raybayes.engine.controller.controller import SweepController
from raybayes.engine.controller.failure_policy import FailurePolicy
from raybayes.engine.controller.slot_limit import SlotLimit
from raybayes.engine.controller.state import Process
from raybayes.engine.messages import Key, RunResult, TrialRun
from raybayes.errors import ClusterError, RaybayesError, StoreError

_STARTS = 2  # processes that could not even be made, until it is plain that none can


@dataclass(frozen=True)
class Assignment:
    """The desk's answer to a slot that is free: what to train at the same time; none: nothing for now, or ever."""

    jobs: tuple[TrialRun, ...] = ()
    over: bool = False


@dataclass
class Slot:
    """What the desk knows of a slot."""

    opened: float  # when it was called for, on the clock's elapsed time
    keys: set[Key] = field(default_factory=set)  # the jobs that it holds
    turned: bool = False  # whether it has said a word
    start_s: float = 0.0  # that its processes took to start, until its first job has ended


class SlotPool:
    """The slots of one burst.

    Args:
        burst: what there is to do.
        room: how many slots there may be.
        note: gets where the time of a slot went with each job: the columns of `raybayes.store.logs.profile`.

    Attributes:
        problem: why the burst must end, once that is plain: no slot can be started at all, or the storage refuses.
    """

    def __init__(
        self,
        controller: SweepController,
        slot_limit: SlotLimit,
        clock: Clock = WALL,
        note: Callable[[Mapping[str, Any]], None] = lambda row: None,
    ) -> None:
        self._controller, self.slot_limit, self._clock, self._note = controller, slot_limit, clock, note
        self._slots: dict[int, Slot] = {}
        self._opened = 0
        self._starts = FailurePolicy()  # of slots that never said a word
        self._next_start = 0.0
        self._refused = False
        self.problem: RaybayesError | None = None

    @property
    def over(self) -> bool:
        """Whether no slot is needed any more."""
        return self.problem is not None or self._controller.over

    def open(self) -> int | None:
        """The number of a new slot, if there is work for one more than those that are on their way."""
        if self.over or len(self._slots) >= self.slot_limit.slots or self._clock.elapsed() < self._next_start:
            return None
        free = sum(not slot.keys for slot in self._slots.values())
        if free >= self._controller.waiting:
            return None
        self._opened += 1
        self._slots[self._opened] = Slot(self._clock.elapsed())
        return self._opened

    def turn(self, number: int, done: Sequence[RunResult]) -> Assignment:
        """A slot has ended its jobs (`done`), if it had any, and takes the next."""
        slot = self._slots.get(number)
        if slot is None:  # it was taken for dead, and has woken since
            return Assignment(over=True)
        if not slot.turned:
            slot.start_s = self._clock.elapsed() - slot.opened
        slot.turned, self._starts = True, FailurePolicy()
        if len(self._slots) > self.slot_limit.slots:
            self.leave(number, done)
            return Assignment(over=True)
        for one in done:
            self._keep(number, slot, one)
        slot.keys.clear()
        jobs = self._controller.turn(done, self._share())
        slot.keys.update(job.key for job in jobs)
        return Assignment(tuple(jobs), over=not jobs and self._controller.over)

    def _share(self) -> int:
        """How many of the jobs that wait would give each slot without one the same number."""
        busy = sum(bool(slot.keys) for slot in self._slots.values())
        return math.ceil(self._controller.waiting / max(1, self.slot_limit.slots - busy))

    @property
    def demand(self) -> int:
        """How many slots this sweep would use now; one that is idle for a moment is kept, as long as it stays."""
        busy = sum(bool(slot.keys) for slot in self._slots.values())
        return 0 if self.over else min(self.slot_limit.wanted, max(len(self._slots), busy + self._controller.waiting))

    def ended(self, number: int, done: RunResult) -> None:
        """One of the jobs that a slot trains at the same time has ended before the others."""
        slot = self._slots.get(number)
        if slot is not None:
            self._keep(number, slot, done)
            slot.keys.discard(done.key)
            self._controller.finish(done.key, None, done.attempt)

    def apart(self, number: int) -> None:
        """To train the jobs of a slot at the same time has failed; it goes, and each of them goes on alone."""
        slot = self._slots.get(number)
        if slot is not None:
            self._controller.apart(slot.keys)
            slot.keys.clear()

    def give_up_silent(self) -> list[Process]:
        """End the jobs that have been silent for too long; the processes to stop."""
        processes = self._controller.give_up_silent()
        for slot in self._slots.values():
            slot.keys = {key for key in slot.keys if self._controller.trains(key)}
        return processes

    def leave(self, number: int, done: Sequence[RunResult]) -> None:
        """A slot goes; its last jobs have ended in order."""
        slot = self._slots.pop(number, None)
        if slot is not None:
            for one in done:
                self._keep(number, slot, one)
                self._controller.finish(one.key, None, one.attempt)

    def refuse(self, reason: str) -> None:
        """The storage has refused something (it is full, say). No other trial would fare better: the burst ends."""
        self._refused = True
        self.problem = StoreError(reason)
        self._controller.stop()

    def _keep(self, number: int, slot: Slot, done: RunResult) -> None:
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
            A sentence for the log if jobs lost their worker.
        """
        slot = self._slots.pop(number, None)
        if slot is None:
            return None
        if not slot.keys and not slot.turned:
            self._not_started(reason, broken)
        lost = []
        for key in sorted(slot.keys):
            error = self._controller.error_of(key)
            if error is not None:
                self._controller.finish(key, error)
            elif self._controller.lost(key, reason, False if self._refused else broken or None):
                lost.append(str(key[0]))
        return f"trial {', '.join(lost)}: its worker was lost: {reason}" if lost else None

    def _not_started(self, reason: str, broken: bool) -> None:
        now = self._clock.elapsed()
        error = self._starts.one_more(now, broken, _STARTS, reason)
        self._next_start = now + self._starts.pause_s
        if error is not None and not any(slot.keys for slot in self._slots.values()):
            self.problem = ClusterError(f"no worker could be started: {reason}; all is stored, go on with resume.")
