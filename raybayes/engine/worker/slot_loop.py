"""What a slot's process does: take a run (or several) from the controller, train it, take the next. Independent of Ray.

The same loop serves a slot of one process and each rank of a group. In a group, rank 0 talks to the controller and
broadcasts its answers; all ranks leave together.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from raybayes.clock import WALL
from raybayes.engine.messages import Assignment, RunResult, SlotController, TrialRun, describe_error
from raybayes.engine.worker.process_group import ProcessGroup
from raybayes.engine.worker.process_state import WorkerRecycler
from raybayes.engine.worker.run_fused import run_fused
from raybayes.engine.worker.run_trial import run_trial, storage_failure
from raybayes.engine.worker.torch_internals import is_collective_failure
from raybayes.errors import StoreError

# A slot without work releases its resources. Not at once: a new group of workers takes about as long to start.
IDLE_S = 10.0
_FIRST_POLL_S, _LAST_POLL_S = 0.002, 0.1


@dataclass(frozen=True)
class WorkerContext:
    """A process's place in its slot.

    Args:
        slot: the slot's number in the controller's pool.
        group: the processes of the slot.
        device: where tensors belong.
        threads: of one torch operation.
        idle_s: how long the slot stays without work.
    """

    slot: int
    group: ProcessGroup
    device: torch.device
    threads: int
    idle_s: float = IDLE_S


def serve(worker: WorkerContext, controller: SlotController, recycler: WorkerRecycler) -> None:
    """Train one run after the other, until the controller has none or it is time for a fresh process.

    Raises:
        StoreError: the storage has failed. The controller knows it: the burst ends.
        Exception: what a training function raised. The controller knows the reason; do not use the process again.
    """
    try:
        _serve(worker, controller, recycler)
    except StoreError as error:
        reason = storage_failure(error)
        if reason is not None:
            controller.on_storage_error(reason)
        raise


def _serve(worker: WorkerContext, controller: SlotController, recycler: WorkerRecycler) -> None:
    group = worker.group
    results: tuple[RunResult, ...] = ()
    worn = False
    while not worn:
        assignment, idle, asking = _next(worker, controller, results) if group.rank == 0 else (None, 0.0, 0.0)
        assignment = group.broadcast(assignment)
        if not assignment.runs:
            return
        results = _train(assignment.runs, worker, controller)
        began = WALL.elapsed()
        recycler.clean_up(len(assignment.runs))
        worn = any(group.gather(recycler.worn))  # also a barrier: all ranks end before any takes the next run
        for first in results[:1]:
            first.times.idle, first.times.asking, first.times.tidying = idle, asking, WALL.elapsed() - began
    if group.rank == 0:
        controller.on_slot_leave(worker.slot, results)


def _train(runs: Sequence[TrialRun], worker: WorkerContext, controller: SlotController) -> tuple[RunResult, ...]:
    if len(runs) > 1:
        return _train_fused(runs, worker, controller)
    try:
        return (run_trial(runs[0], controller, worker.group, worker.device, worker.threads),)
    except Exception as error:
        if not is_collective_failure(error.__traceback__) and storage_failure(error) is None:
            # Before the group is torn down, so that an error in the code is not taken for a lost worker.
            controller.on_run_error(runs[0].key, describe_error(error))
        raise


def _train_fused(runs: Sequence[TrialRun], worker: WorkerContext, controller: SlotController) -> tuple[RunResult, ...]:
    def on_run_end(result: RunResult) -> None:
        controller.on_run_end(worker.slot, result)

    try:
        return tuple(run_fused(runs, controller, worker.device, worker.threads, on_run_end))
    except Exception as error:
        if storage_failure(error) is None:
            controller.on_fusion_error(worker.slot)
        raise


def _next(
    worker: WorkerContext, controller: SlotController, results: tuple[RunResult, ...]
) -> tuple[Assignment, float, float]:
    """The controller's next assignment; where it has none for now, it is asked again for a few seconds.

    Returns:
        The assignment, seconds of waiting for something to do, seconds that the controller needed to answer.
    """
    came = asked = WALL.elapsed()
    assignment, wait_s = controller.next_assignment(worker.slot, results), _FIRST_POLL_S
    while not assignment.runs and not assignment.over and WALL.elapsed() - came < worker.idle_s:
        time.sleep(wait_s)
        wait_s, asked = min(2 * wait_s, _LAST_POLL_S), WALL.elapsed()
        assignment = controller.next_assignment(worker.slot, ())
    return assignment, asked - came, WALL.elapsed() - asked
