"""What a slot's process does: take a job (or several) from the desk, train it, take the next. It does not know Ray.

The same loop serves a slot of one process and each rank of a group. In a group, rank 0 talks to the desk and hands on
what it says; all ranks leave together.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from raybayes.clock import WALL
from raybayes.engine.controller.slot_pool import Turn
from raybayes.engine.messages import Desk, Done, Job, Key, describe_error
from raybayes.engine.worker.context import Group
from raybayes.engine.worker.process_state import Upkeep
from raybayes.engine.worker.run_fused import perform_together
from raybayes.engine.worker.run_trial import perform, refused
from raybayes.errors import StoreError
from raybayes.spec.sweep_spec import Reuse

# A slot without work gives its machine back. Not at once: a new group of workers takes about as long to start.
IDLE_S = 10.0
_FIRST_POLL_S, _LAST_POLL_S = 0.002, 0.1


class SlotDesk(Desk, Protocol):
    """A desk that hands out jobs to slots."""

    def turn(self, slot: int, done: Sequence[Done]) -> Turn: ...
    def leave(self, slot: int, done: Sequence[Done]) -> None: ...
    def ended(self, slot: int, done: Done) -> None: ...
    def apart(self, slot: int) -> None: ...
    def failed(self, key: Key, error: str) -> None: ...
    def refuse(self, reason: str) -> None: ...


@dataclass(frozen=True)
class Seat:
    """A process's place in its slot.

    Args:
        slot: the slot's number in the desk's roster.
        threads: of one torch operation.
    """

    slot: int
    group: Group
    device: torch.device
    threads: int


def serve(seat: Seat, desk: SlotDesk, reuse: Reuse) -> None:
    """Train one job after the other, until the desk has none or it is time for fresh processes.

    Raises:
        StoreError: the storage has refused something. The desk was told: the burst is at its end.
        Exception: what a training function raised. The desk was told the reason; the process is not to be used again.
    """
    try:
        _work(seat, desk, reuse)
    except StoreError as error:
        reason = refused(error)
        if reason is not None:
            desk.refuse(reason)
        raise


def _work(seat: Seat, desk: SlotDesk, reuse: Reuse) -> None:
    group, upkeep, left = seat.group, Upkeep(reuse.growth_gib), reuse.trials
    done: list[Done] = []
    worn = False
    while left > 0 and not worn:
        turn, idle, asking = _next(seat.slot, desk, done) if group.rank == 0 else (None, 0.0, 0.0)
        turn = group.broadcast(turn)
        if not turn.jobs:
            return
        done = _performed(turn.jobs, seat, desk)
        began = WALL.elapsed()
        upkeep.tidy()
        worn = any(group.gather(upkeep.worn))  # also a barrier: no rank goes on before all have ended
        left -= len(turn.jobs)
        for one in done[:1]:
            one.spent.idle, one.spent.asking, one.spent.tidying = idle, asking, WALL.elapsed() - began
    if group.rank == 0:
        desk.leave(seat.slot, done)


def _performed(jobs: Sequence[Job], seat: Seat, desk: SlotDesk) -> list[Done]:
    if len(jobs) > 1:
        return _performed_together(jobs, seat, desk)
    try:
        return [perform(jobs[0], desk, seat.group, seat.device, seat.threads)]
    except Exception as error:
        if not _peer_lost(error) and refused(error) is None:
            # Told before the group is torn down, so that a mistake in the code is not taken for a lost worker.
            desk.failed(jobs[0].key, describe_error(error))
        raise


def _performed_together(jobs: Sequence[Job], seat: Seat, desk: SlotDesk) -> list[Done]:
    try:
        return perform_together(jobs, desk, seat.device, seat.threads, lambda done: desk.ended(seat.slot, done))
    except Exception as error:
        if refused(error) is None:
            desk.apart(seat.slot)
        raise


def _peer_lost(error: BaseException) -> bool:
    """Whether a collective operation broke off, which is how the ranks that live notice the one that does not."""
    frames = traceback.extract_tb(error.__traceback__)
    return any("/torch/distributed/" in frame.filename for frame in frames)


def _next(slot: int, desk: SlotDesk, done: Sequence[Done]) -> tuple[Turn, float, float]:
    """The desk's answer, or where it has nothing for now its first other one in the next seconds.

    Returns:
        The answer, seconds of waiting for something to do, seconds that the desk needed to find it.
    """
    came = asked = WALL.elapsed()
    turn, wait_s = desk.turn(slot, done), _FIRST_POLL_S
    while not turn.jobs and not turn.over and WALL.elapsed() - came < IDLE_S:
        time.sleep(wait_s)
        wait_s, asked = min(2 * wait_s, _LAST_POLL_S), WALL.elapsed()
        turn = desk.turn(slot, ())
    return turn, asked - came, WALL.elapsed() - asked
