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
from raybayes.engine.controller.slot_pool import Assignment
from raybayes.engine.messages import Controller, Key, RunResult, TrialRun, describe_error
from raybayes.engine.worker.context import ProcessGroup
from raybayes.engine.worker.process_state import WorkerRecycler
from raybayes.engine.worker.run_fused import run_fused
from raybayes.engine.worker.run_trial import refused, run_trial
from raybayes.errors import StoreError
from raybayes.spec.sweep_spec import Reuse

# A slot without work gives its machine back. Not at once: a new group of workers takes about as long to start.
IDLE_S = 10.0
_FIRST_POLL_S, _LAST_POLL_S = 0.002, 0.1


class SlotController(Controller, Protocol):
    """A desk that hands out jobs to slots."""

    def turn(self, slot: int, done: Sequence[RunResult]) -> Assignment: ...
    def leave(self, slot: int, done: Sequence[RunResult]) -> None: ...
    def ended(self, slot: int, done: RunResult) -> None: ...
    def apart(self, slot: int) -> None: ...
    def failed(self, key: Key, error: str) -> None: ...
    def refuse(self, reason: str) -> None: ...


@dataclass(frozen=True)
class WorkerContext:
    """A process's place in its slot.

    Args:
        slot: the slot's number in the desk's roster.
        threads: of one torch operation.
    """

    slot: int
    group: ProcessGroup
    device: torch.device
    threads: int


def serve(worker_context: WorkerContext, controller: SlotController, reuse: Reuse) -> None:
    """Train one job after the other, until the desk has none or it is time for fresh processes.

    Raises:
        StoreError: the storage has refused something. The desk was told: the burst is at its end.
        Exception: what a training function raised. The desk was told the reason; the process is not to be used again.
    """
    try:
        _work(worker_context, controller, reuse)
    except StoreError as error:
        reason = refused(error)
        if reason is not None:
            controller.refuse(reason)
        raise


def _work(worker_context: WorkerContext, controller: SlotController, reuse: Reuse) -> None:
    group, upkeep, left = worker_context.group, WorkerRecycler(reuse.growth_gib), reuse.trials
    done: list[RunResult] = []
    worn = False
    while left > 0 and not worn:
        turn, idle, asking = _next(worker_context.slot, controller, done) if group.rank == 0 else (None, 0.0, 0.0)
        turn = group.broadcast(turn)
        if not turn.jobs:
            return
        done = _run(turn.jobs, worker_context, controller)
        began = WALL.elapsed()
        upkeep.tidy()
        worn = any(group.gather(upkeep.worn))  # also a barrier: no rank goes on before all have ended
        left -= len(turn.jobs)
        for one in done[:1]:
            one.spent.idle, one.spent.asking, one.spent.tidying = idle, asking, WALL.elapsed() - began
    if group.rank == 0:
        controller.leave(worker_context.slot, done)


def _run(jobs: Sequence[TrialRun], worker_context: WorkerContext, controller: SlotController) -> list[RunResult]:
    if len(jobs) > 1:
        return _run_fused(jobs, worker_context, controller)
    try:
        return [run_trial(jobs[0], controller, worker_context.group, worker_context.device, worker_context.threads)]
    except Exception as error:
        if not _peer_lost(error) and refused(error) is None:
            # Told before the group is torn down, so that a mistake in the code is not taken for a lost worker.
            controller.failed(jobs[0].key, describe_error(error))
        raise


def _run_fused(jobs: Sequence[TrialRun], worker_context: WorkerContext, controller: SlotController) -> list[RunResult]:
    try:
        return run_fused(
            jobs,
            controller,
            worker_context.device,
            worker_context.threads,
            lambda done: controller.ended(worker_context.slot, done),
        )
    except Exception as error:
        if refused(error) is None:
            controller.apart(worker_context.slot)
        raise


def _peer_lost(error: BaseException) -> bool:
    """Whether a collective operation broke off, which is how the ranks that live notice the one that does not."""
    frames = traceback.extract_tb(error.__traceback__)
    return any("/torch/distributed/" in frame.filename for frame in frames)


def _next(slot: int, controller: SlotController, done: Sequence[RunResult]) -> tuple[Assignment, float, float]:
    """The desk's answer, or where it has nothing for now its first other one in the next seconds.

    Returns:
        The answer, seconds of waiting for something to do, seconds that the desk needed to find it.
    """
    came = asked = WALL.elapsed()
    turn, wait_s = controller.turn(slot, done), _FIRST_POLL_S
    while not turn.jobs and not turn.over and WALL.elapsed() - came < IDLE_S:
        time.sleep(wait_s)
        wait_s, asked = min(2 * wait_s, _LAST_POLL_S), WALL.elapsed()
        turn = controller.turn(slot, ())
    return turn, asked - came, WALL.elapsed() - asked
