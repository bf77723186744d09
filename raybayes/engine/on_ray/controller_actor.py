"""The burst as a Ray actor: one process that all workers of a sweep report to, on the machine of the driver.

Reports go from a worker straight to the desk and come back with a decision, about a millisecond each way. They do
not pass through Tune's event loop, and Train's dropping of metrics without a checkpoint does not concern them.
"""

from __future__ import annotations

import importlib.abc
import os
import sys
import threading
import uuid
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raybayes.engine.controller.controller import SweepController
from raybayes.engine.controller.slot_limit import SlotLimit
from raybayes.engine.controller.slot_pool import Assignment, SlotPool
from raybayes.engine.controller.state import Process
from raybayes.engine.messages import Decision, Key, Report, RunResult, Start
from raybayes.engine.on_ray.fair_share import FairShareClient
from raybayes.errors import RaybayesError, StoreError
from raybayes.search.plan import Plan
from raybayes.search.progress import Progress
from raybayes.spec.sweep_spec import SweepSpec
from raybayes.store.layout import Layout
from raybayes.store.logs.profile import ProfileLog
from raybayes.store.logs.reports import next_burst

_FIRST_ANSWER_S = 5.0  # that a sweep waits for what the others leave to it, before it calls for slots


class _NoPandas(importlib.abc.MetaPathFinder):
    """Answers like a machine without pandas."""

    def find_spec(self, name: str, *_: Any) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(name)


def _leave_pandas_out() -> None:
    """Keep pyarrow from importing pandas into this process (0.3 s and 60 MB), which never has a DataFrame.

    Before its first array of a list, pyarrow looks once whether pandas is there, to ask it whether that is a Series.
    """
    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    pa.array([0])
    sys.meta_path.remove(finder)


class ControllerActor:
    """A burst behind an actor's door."""

    def __init__(self) -> None:
        _leave_pandas_out()
        self._controller: SweepController | None = None
        self._pool: SlotPool | None = None
        self._profile: ProfileLog | None = None
        self._agreement: FairShareClient | None = None
        self._turned = threading.Event()

    def __repr__(self) -> str:
        """What Ray's dashboard and logs call this actor."""
        return "raybayes desk"

    def open(
        self,
        layout: Layout,
        spec: SweepSpec,
        plan: Plan,
        roots: tuple[str, ...],
        slot_limit: SlotLimit,
        wait_s: float,
        shared_as: str | None,
    ) -> None:
        """Take the sweep; raises as `SweepController` does. Not in the constructor, so that errors come back whole."""
        self._controller = SweepController(layout, spec, plan, roots, wait_s)
        self._profile = ProfileLog(layout, next_burst(layout))
        self._pool = SlotPool(self._controller, slot_limit, note=self._profile.append)
        if shared_as is not None:
            self._agreement = FairShareClient(shared_as, spec.weight, spec.resources, slot_limit)
            self._agreement.renew(self._pool.demand, wait_s=_FIRST_ANSWER_S)
        threading.Thread(target=self._look_ahead, args=(self._controller,), name="raybayes-ahead", daemon=True).start()

    def _look_ahead(self, controller: SweepController) -> None:
        """While slots train, look for what they will ask for next."""
        while True:
            self._turned.wait()
            self._turned.clear()
            while controller.ask_ahead():
                pass

    @property
    def controller(self) -> SweepController:
        assert self._controller is not None, "the desk was used before it was opened"
        return self._controller

    @property
    def pool(self) -> SlotPool:
        assert self._pool is not None, "the desk was used before it was opened"
        return self._pool

    def open_slot(self) -> tuple[int | None, bool]:
        """A new slot's number if one is needed now, and whether none will ever be."""
        return self.pool.open(), self.pool.over

    def turn(self, slot: int, done: Sequence[RunResult]) -> Assignment:
        turn = self.pool.turn(slot, done)
        self._turned.set()
        return turn

    def leave(self, slot: int, done: Sequence[RunResult]) -> None:
        self.pool.leave(slot, done)

    def ended(self, slot: int, done: RunResult) -> None:
        self.pool.ended(slot, done)

    def apart(self, slot: int) -> None:
        self.pool.apart(slot)

    def close_slot(self, slot: int, reason: str, broken: bool = False) -> str | None:
        try:
            return self.pool.close(slot, reason, broken)
        except StoreError as error:
            self.pool.refuse(str(error))
            return None

    def refuse(self, reason: str) -> None:
        self.pool.refuse(reason)

    def problem(self) -> RaybayesError | None:
        return self.pool.problem

    def start(self, key: Key, node: str, process: Process) -> Start:
        return self.controller.start(key, node, process)

    def report(self, key: Key, report: Report) -> Decision:
        self.pool.slot_limit.seen(report.memory_gib)
        return self.controller.report(key, report)

    def saving(self, key: Key, step: int) -> None:
        self.controller.saving(key, step)

    def failed(self, key: Key, error: str) -> None:
        self.controller.failed(key, error)

    def give_up_silent(self) -> list[Process]:
        return self.pool.give_up_silent()

    def stop(self) -> None:
        self.controller.stop()

    def progress(self) -> Progress:
        if self._agreement is not None:
            self._agreement.renew(self.pool.demand)
        return self.controller.progress()

    def close(self) -> Progress:
        if self._agreement is not None:
            self._agreement.end()
        if self._profile is not None:
            self._profile.flush()
        return self.controller.close()


class ControllerClient:
    """A worker's view of the desk: plain calls that wait for the answer. Pickles."""

    def __init__(self, handle: Any) -> None:
        self.handle = handle

    def turn(self, slot: int, done: Sequence[RunResult]) -> Assignment:
        answer: Assignment = ray.get(self.handle.turn.remote(slot, done))
        return answer

    def refuse(self, reason: str) -> None:
        ray.get(self.handle.refuse.remote(reason))

    def leave(self, slot: int, done: Sequence[RunResult]) -> None:
        ray.get(self.handle.leave.remote(slot, done))

    def ended(self, slot: int, done: RunResult) -> None:
        ray.get(self.handle.ended.remote(slot, done))

    def apart(self, slot: int) -> None:
        ray.get(self.handle.apart.remote(slot))

    def start(self, key: Key, node: str) -> Start:
        process: Process = (ray.get_runtime_context().get_node_id(), os.getpid())
        answer: Start = ray.get(self.handle.start.remote(key, node, process))
        return answer

    def report(self, key: Key, report: Report) -> Decision:
        answer: Decision = ray.get(self.handle.report.remote(key, report))
        return answer

    def saving(self, key: Key, step: int) -> None:
        ray.get(self.handle.saving.remote(key, step))

    def failed(self, key: Key, error: str) -> None:
        ray.get(self.handle.failed.remote(key, error))


def start_controller(
    layout: Layout,
    spec: SweepSpec,
    plan: Plan,
    roots: tuple[str, ...],
    slot_limit: SlotLimit,
    wait_s: float,
    shared: bool,
) -> Any:
    """Start the desk beside the driver and let it take the sweep.

    Args:
        shared: whether other sweeps may be on this Ray.

    Raises:
        StoreError: another burst works on the sweep.
    """
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    name = f"raybayes {layout.name} {uuid.uuid4().hex[:6]}"  # told in Ray's dashboard; unique, as Ray wants it
    options = {"num_cpus": 0, "scheduling_strategy": here, "max_restarts": 0, "name": name}
    handle = ray.remote(ControllerActor).options(**options).remote()
    try:
        ray.get(handle.open.remote(layout, spec, plan, roots, slot_limit, wait_s, name if shared else None))
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    return handle
