"""The controller as a Ray actor: one process that all workers of a sweep report to, on the machine of the driver.

Reports go from a worker straight to the actor and come back with a decision, about a millisecond each way. They do
not pass through Tune's event loop, and that Train drops metrics without a checkpoint does not concern them.
"""

from __future__ import annotations

import importlib
import importlib.abc
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
from raybayes.engine.controller.slot_pool import SlotPool
from raybayes.engine.messages import Assignment, Decision, Key, Process, Report, RunResult, Start
from raybayes.engine.on_ray.controller_client import ControllerClient
from raybayes.engine.on_ray.fair_share import FairShareClient
from raybayes.errors import RaybayesError, StoreError
from raybayes.search.plan import Plan
from raybayes.search.progress import Progress
from raybayes.spec.sweep_spec import SweepSpec
from raybayes.store.layout import Layout
from raybayes.store.logs.profile import ProfileLog
from raybayes.store.logs.reports import next_burst_number

_FIRST_ANSWER_S = 5.0  # how long a sweep waits for its first fair share before it requests slots


class _WithoutPandas(importlib.abc.MetaPathFinder):
    """Answers like a machine that has no pandas."""

    def find_spec(self, name: str, *_: Any) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(name)


def keep_pandas_out() -> None:
    """Keep pyarrow from importing pandas into this process (0.3 s and 60 MB), which never has a DataFrame.

    Before its first array of a list, pyarrow imports pandas once, to ask it whether the list is a Series.
    """
    finder = _WithoutPandas()
    sys.meta_path.insert(0, finder)
    pa.array([0])
    sys.meta_path.remove(finder)


class ControllerActor:
    """A `SweepController` and its `SlotPool` in a process of their own. Its methods are those of `ControllerClient`."""

    def __init__(self) -> None:
        keep_pandas_out()
        self._controller: SweepController | None = None
        self._pool: SlotPool | None = None
        self._profile: ProfileLog | None = None
        self._fair_share: FairShareClient | None = None
        self._assigned = threading.Event()

    def __repr__(self) -> str:
        """What Ray's dashboard and logs call this actor."""
        return "raybayes controller"

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
        """Open the sweep; raises as `SweepController` does. Not in the constructor, so that errors come back whole.

        Args:
            shared_as: this sweep's name among those that share the cluster; None: it has the cluster for itself.
        """
        self._controller = SweepController(layout, spec, plan, roots, wait_s)
        self._profile = ProfileLog(layout, next_burst_number(layout))
        self._pool = SlotPool(self._controller, slot_limit, log_profile=self._profile.append)
        if shared_as is not None:
            self._fair_share = FairShareClient(shared_as, spec.weight, spec.resources, slot_limit)
            self._fair_share.renew(self._pool.demand, wait_s=_FIRST_ANSWER_S)
        threading.Thread(target=self._ask_ahead, args=(self._controller,), name="raybayes-ahead", daemon=True).start()

    def _ask_ahead(self, controller: SweepController) -> None:
        """While slots train, ask the sampler for what they will need next."""
        while True:
            self._assigned.wait()
            self._assigned.clear()
            while controller.ask_ahead():
                pass

    @property
    def controller(self) -> SweepController:
        assert self._controller is not None, "the actor was used before `open`"
        return self._controller

    @property
    def pool(self) -> SlotPool:
        assert self._pool is not None, "the actor was used before `open`"
        return self._pool

    def next_assignment(self, slot: int, results: Sequence[RunResult]) -> Assignment:
        assignment = self.pool.next_assignment(slot, results)
        self._assigned.set()
        return assignment

    def start_run(self, key: Key, node: str, process: Process) -> Start:
        return self.controller.start_run(key, node, process)

    def on_report(self, key: Key, report: Report) -> Decision:
        self.pool.slot_limit.on_memory(report.memory_gib)
        return self.controller.on_report(key, report)

    def before_checkpoint(self, key: Key, step: int) -> None:
        self.controller.before_checkpoint(key, step)

    def on_run_end(self, slot: int, result: RunResult) -> None:
        self.pool.on_run_end(slot, result)

    def on_run_error(self, key: Key, error: str) -> None:
        self.controller.on_run_error(key, error)

    def on_fusion_error(self, slot: int) -> None:
        self.pool.on_fusion_error(slot)

    def on_storage_error(self, reason: str) -> None:
        self.pool.on_storage_error(reason)

    def on_slot_leave(self, slot: int, results: Sequence[RunResult]) -> None:
        self.pool.on_slot_leave(slot, results)

    def open_slot(self) -> tuple[int | None, bool]:
        return self.pool.open_slot(), self.pool.over

    def on_slot_exit(self, slot: int, reason: str, broken: bool) -> str | None:
        try:
            return self.pool.on_slot_exit(slot, reason, broken)
        except StoreError as error:
            self.pool.on_storage_error(str(error))
            return None

    def fail_silent_runs(self) -> list[Process]:
        return self.pool.fail_silent_runs()

    def problem(self) -> RaybayesError | None:
        return self.pool.problem

    def stop(self) -> None:
        self.controller.stop()

    def progress(self) -> Progress:
        if self._fair_share is not None:
            self._fair_share.renew(self.pool.demand)
        return self.controller.progress()

    def abandon(self) -> None:
        self.controller.abandon()

    def close(self) -> Progress:
        if self._fair_share is not None:
            self._fair_share.leave()
        if self._profile is not None:
            self._profile.flush()
        return self.controller.close()


def start_controller(
    layout: Layout,
    spec: SweepSpec,
    plan: Plan,
    roots: tuple[str, ...],
    slot_limit: SlotLimit,
    wait_s: float,
    shared: bool,
) -> ControllerClient:
    """Start the controller's actor beside the driver and let it open the sweep.

    Args:
        wait_s: how long to wait for a predecessor that is dying to release the sweep.
        shared: whether other sweeps may be on this Ray.

    Raises:
        StoreError: another burst works on the sweep.
    """
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    name = f"raybayes {layout.name} {uuid.uuid4().hex[:6]}"  # shown in Ray's dashboard; it must be unique on the Ray
    options = {"num_cpus": 0, "scheduling_strategy": here, "max_restarts": 0, "name": name}
    actor = ray.remote(ControllerActor).options(**options).remote()
    try:
        opened = actor.open.remote(layout, spec, plan, roots, slot_limit, wait_s, name if shared else None)
        importlib.import_module(f"raybayes.engine.on_ray.{'train' if spec.kind == 'train' else 'tune'}")  # meanwhile
        ray.get(opened)
    except BaseException as error:  # the sweep must be free again even if this process, a notebook, lives on
        ray.kill(actor)
        if isinstance(error, ray.exceptions.RayTaskError):
            raise error.cause from None
        raise
    return ControllerClient(actor)
