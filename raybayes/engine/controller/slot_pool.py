"""The slots of a burst and the runs that each of them has. Independent of Ray.

A slot is a process, or a group of processes that train together. It is opened when there is work for it, takes one run
after the other (or several at a time, see `fusion.py`), and leaves: when nothing is left to do, when it has trained so
much that a fresh process should take over, or because it was lost.
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
from raybayes.engine.messages import Assignment, Key, Process, RunResult
from raybayes.errors import ClusterError, RaybayesError, StoreError

_BROKEN_STARTS = 2  # processes that could not even be created, until no other one is tried


@dataclass
class Slot:
    """What is known of a slot.

    Args:
        opened: when it was requested, in seconds of the pool's clock.
        keys: the runs that it has.
        started: whether its processes have asked for work.
        start_s: seconds that they took to start, until the first run has carried them.
    """

    opened: float
    keys: set[Key] = field(default_factory=set)
    started: bool = False
    start_s: float = 0.0


class SlotPool:
    """The slots of one burst.

    Args:
        controller: what there is to do.
        slot_limit: how many slots there may be.
        log_profile: gets where a slot's time went for each run: the columns of `raybayes.store.logs.profile`.

    Attributes:
        problem: why the burst must end, once that is clear: no slot can be started, or the storage fails.
    """

    def __init__(
        self,
        controller: SweepController,
        slot_limit: SlotLimit,
        clock: Clock = WALL,
        log_profile: Callable[[Mapping[str, Any]], None] = lambda row: None,
    ) -> None:
        self._controller, self.slot_limit, self._clock = controller, slot_limit, clock
        self._log_profile = log_profile
        self._slots: dict[int, Slot] = {}
        self._opened = 0
        self._start_failures = FailurePolicy()  # of slots that never asked for work
        self._next_start = 0.0
        self._storage_failed = False
        self.problem: RaybayesError | None = None

    @property
    def over(self) -> bool:
        """Whether no further slot is needed."""
        return self.problem is not None or self._controller.over

    @property
    def demand(self) -> int:
        """How many slots this sweep would use now. One that is idle counts, as long as it has not left."""
        busy = sum(bool(slot.keys) for slot in self._slots.values())
        return 0 if self.over else min(self.slot_limit.wanted, max(len(self._slots), busy + self._controller.waiting))

    def open_slot(self) -> int | None:
        """The number of a new slot, if there is work for one more than those that are starting; else None."""
        if self.over or len(self._slots) >= self.slot_limit.slots or self._clock.elapsed() < self._next_start:
            return None
        free = sum(not slot.keys for slot in self._slots.values())
        if free >= self._controller.waiting:
            return None
        self._opened += 1
        self._slots[self._opened] = Slot(self._clock.elapsed())
        return self._opened

    # -- what slots say --------------------------------------------------------------------------------------

    def next_assignment(self, number: int, results: Sequence[RunResult]) -> Assignment:
        """A slot has ended its runs in order, if it had any, and asks for the next."""
        slot = self._slots.get(number)
        if slot is None:  # it was wrongly presumed dead
            return Assignment(over=True)
        if not slot.started:
            slot.start_s = self._clock.elapsed() - slot.opened
        slot.started, self._start_failures = True, FailurePolicy()
        if len(self._slots) > self.slot_limit.slots:
            self.on_slot_leave(number, results)
            return Assignment(over=True)
        for result in results:
            self._profile(number, slot, result)
        slot.keys.clear()
        runs = self._controller.finish_and_take(results, self._share())
        slot.keys.update(run.key for run in runs)
        return Assignment(tuple(runs), over=not runs and self._controller.over)

    def _share(self) -> int:
        """How many of the waiting runs would give each slot without one the same number."""
        busy = sum(bool(slot.keys) for slot in self._slots.values())
        return math.ceil(self._controller.waiting / max(1, self.slot_limit.slots - busy))

    def on_run_end(self, number: int, result: RunResult) -> None:
        """One of the runs that a slot trains together has ended before the others."""
        slot = self._slots.get(number)
        if slot is not None:
            self._profile(number, slot, result)
            slot.keys.discard(result.key)
            self._controller.finish(result.key, None, result.attempt)

    def on_fusion_error(self, number: int) -> None:
        """Training a slot's runs together has failed; the slot leaves, and each run is trained alone."""
        slot = self._slots.get(number)
        if slot is not None:
            self._controller.unfuse(slot.keys)
            slot.keys.clear()

    def on_slot_leave(self, number: int, results: Sequence[RunResult]) -> None:
        """A slot leaves; its last runs have ended in order."""
        slot = self._slots.pop(number, None)
        if slot is not None:
            for result in results:
                self._profile(number, slot, result)
                self._controller.finish(result.key, None, result.attempt)

    def on_storage_error(self, reason: str) -> None:
        """The storage has failed (the disk is full, say). Every other trial would fail alike: the burst ends."""
        self._storage_failed = True
        self.problem = StoreError(reason)
        self._controller.stop()

    def _profile(self, number: int, slot: Slot, result: RunResult) -> None:
        times = {**vars(result.times), "starting": result.times.starting + slot.start_s}
        slot.start_s = 0.0
        trial, repeat = result.key
        place = {"slot": number, "node": result.node, "trial": trial, "repeat": repeat, "ended": self._clock.now()}
        self._log_profile({**place, **times})

    # -- what the executor says ------------------------------------------------------------------------------

    def on_slot_exit(self, number: int, reason: str = "", broken: bool = False) -> str | None:
        """A slot's processes have exited; if it still had runs, other slots continue them, or they fail.

        Args:
            reason: the executor's explanation.
            broken: whether its process could not even be created.

        Returns:
            A sentence for the log if runs have lost their worker.
        """
        slot = self._slots.pop(number, None)
        if slot is None:
            return None
        if not slot.keys and not slot.started:
            self._on_failed_start(reason, broken)
        lost = []
        for key in sorted(slot.keys):
            error = self._controller.error_of(key)
            if error is not None:
                self._controller.finish(key, error)
            elif self._controller.on_worker_lost(key, reason, False if self._storage_failed else broken or None):
                lost.append(str(key[0]))
        return f"trial {', '.join(lost)}: its worker was lost: {reason}" if lost else None

    def _on_failed_start(self, reason: str, broken: bool) -> None:
        now = self._clock.elapsed()
        error = self._start_failures.on_loss(now, broken, _BROKEN_STARTS, reason)
        self._next_start = now + self._start_failures.pause_s
        if error is not None and not any(slot.keys for slot in self._slots.values()):
            self.problem = ClusterError(
                f"no worker could be started: {reason}. Everything is stored; continue with raybayes resume."
            )

    def fail_silent_runs(self) -> list[Process]:
        """Fail the runs that have not reported within the limit; returns the processes to kill."""
        processes = self._controller.fail_silent_runs()
        for slot in self._slots.values():
            slot.keys = {key for key in slot.keys if self._controller.is_active(key)}
        return processes
