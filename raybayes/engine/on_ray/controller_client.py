"""The typed client of the controller's actor, for the driver and for the workers."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import ray

from raybayes.engine.messages import Assignment, Decision, Key, Process, Report, RunResult, Start
from raybayes.errors import ClusterError, RaybayesError
from raybayes.search.progress import Progress

_ABANDON_S = 5.0  # a controller that is busy for longer leaves its lock, which the next burst takes from a dead process


class ControllerClient:
    """Plain calls that wait for the controller's answer. Pickles, so that it can be handed to any process of Ray.

    Every method raises `ray.exceptions.RayError` if the actor is lost, unless it says otherwise.

    Args:
        actor: the handle of a `ControllerActor`.
    """

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    # -- what workers call (see `raybayes.engine.messages.SlotController`) -----------------------------------

    def next_assignment(self, slot: int, results: tuple[RunResult, ...]) -> Assignment:
        """What a slot trains next; `results` are the runs that it has ended in order."""
        answer: Assignment = ray.get(self._actor.next_assignment.remote(slot, results))
        return answer

    def start_run(self, key: Key, node: str) -> Start:
        """This process starts a run."""
        process: Process = (ray.get_runtime_context().get_node_id(), os.getpid())
        answer: Start = ray.get(self._actor.start_run.remote(key, node, process))
        return answer

    def on_report(self, key: Key, report: Report) -> Decision:
        """A run has made one step."""
        answer: Decision = ray.get(self._actor.on_report.remote(key, report))
        return answer

    def before_checkpoint(self, key: Key, step: int) -> None:
        """A checkpoint is about to be published."""
        ray.get(self._actor.before_checkpoint.remote(key, step))

    def on_run_end(self, slot: int, result: RunResult) -> None:
        """One of the runs that a slot trains together has ended before the others."""
        ray.get(self._actor.on_run_end.remote(slot, result))

    def on_run_error(self, key: Key, error: str) -> None:
        """The training function has raised."""
        ray.get(self._actor.on_run_error.remote(key, error))

    def on_fusion_error(self, slot: int) -> None:
        """Training a slot's runs together has failed."""
        ray.get(self._actor.on_fusion_error.remote(slot))

    def on_storage_error(self, reason: str) -> None:
        """The storage has failed."""
        ray.get(self._actor.on_storage_error.remote(reason))

    def on_slot_leave(self, slot: int, results: tuple[RunResult, ...]) -> None:
        """A slot leaves, after the runs that it has ended in order."""
        ray.get(self._actor.on_slot_leave.remote(slot, results))

    # -- what the driver calls -------------------------------------------------------------------------------

    def open_slot(self) -> tuple[int | None, bool]:
        """The number of a new slot if one is needed now (else None), and whether no slot will be needed any more."""
        answer: tuple[int | None, bool] = ray.get(self._actor.open_slot.remote())
        return answer

    def on_slot_exit(self, slot: int, reason: str, broken: bool = False) -> str | None:
        """A slot's processes have exited; a sentence for the log if runs have lost their worker.

        Args:
            reason: Ray's explanation.
            broken: whether its process could not even be created.
        """
        answer: str | None = ray.get(self._actor.on_slot_exit.remote(slot, reason, broken))
        return answer

    def fail_silent_runs(self) -> list[Process]:
        """Fail the runs that have not reported within the limit; the processes to kill."""
        answer: list[Process] = ray.get(self._actor.fail_silent_runs.remote())
        return answer

    def problem(self) -> RaybayesError | None:
        """Why the burst must end, if it must."""
        answer: RaybayesError | None = ray.get(self._actor.problem.remote())
        return answer

    def stop(self) -> None:
        """Give out no more runs; those in training write a checkpoint and pause."""
        ray.get(self._actor.stop.remote())

    def progress(self) -> Progress:
        """What a user sees of the burst."""
        answer: Progress = ray.get(self._actor.progress.remote())
        return answer

    def close(self) -> Progress:
        """End the burst: pause what has not ended, write the tables, release the sweep.

        Raises:
            ClusterError: the actor is lost.
        """
        try:
            answer: Progress = ray.get(self._actor.close.remote())
        except ray.exceptions.RayError as error:
            reason = str(error).strip().splitlines()[0]
            raise ClusterError(
                f"the controller's process was lost ({reason}). Everything is stored; continue with raybayes resume."
            ) from None
        return answer

    def abandon(self) -> None:
        """Release the sweep without closing it, and end the actor's process: the burst has failed, or must end now."""
        with contextlib.suppress(ray.exceptions.RayError, ray.exceptions.GetTimeoutError, ClusterError):
            ray.get(self._actor.abandon.remote(), timeout=_ABANDON_S)
        with contextlib.suppress(ray.exceptions.RayError):
            self.kill()

    def kill(self) -> None:
        """End the actor's process, after `close`."""
        ray.kill(self._actor)


@contextlib.contextmanager
def tolerate_loss() -> Iterator[None]:
    """Ignore that the controller's process, or the cluster, is lost: somebody else will raise it."""
    with contextlib.suppress(ray.exceptions.RayError, ClusterError):
        yield
