"""The Ray Tune loop of a burst: Tune places the slots and starts their processes; the desk decides all else.

A Tune trial is a slot, which trains one of our trials after the other: Tune needs 40 ms to hand a process its next
trial, and the slot asks the desk in 2. Tune restarts nothing either. A job whose process is gone goes back to the
desk, which hands it to another slot: to a node that is dead but not yet known to be, Tune would send it again
until all retries are spent.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray
import ray.cloudpickle as cloudpickle
import ray.exceptions
import torch
from ray import tune
from ray.air.execution._internal import actor_manager
from ray.tune.execution import tune_controller
from ray.tune.execution.placement_groups import PlacementGroupFactory
from ray.tune.search import Searcher

from raybayes.engine.on_ray.connect import Cluster, slots
from raybayes.engine.on_ray.controller_actor import ControllerClient
from raybayes.engine.worker.context import SingleProcessGroup
from raybayes.engine.worker.run_trial import threads_of
from raybayes.engine.worker.slot_loop import WorkerContext, serve
from raybayes.errors import ClusterError
from raybayes.spec.sweep_spec import Resources, SweepSpec
from raybayes.store.filesystem import Storage

_LOG = logging.getLogger("raybayes.engine")


class SlotActor(tune.Trainable):  # type: ignore[misc]
    """A slot's process; where trials have several workers, the driver of the Ray Train run that serves it."""

    def setup(
        self,
        config: dict[str, Any],
        controller: Any = None,
        spec: SweepSpec | None = None,
        storage: Storage | None = None,
    ) -> None:
        assert spec is not None
        assert storage is not None
        # `_storage` is Tune's own name for something else.
        self._slot, self._controller, self._spec, self._home = config["slot"], controller, spec, storage

    def __repr__(self) -> str:
        """What Ray's dashboard and logs call this actor: its sweep, because it serves many trials."""
        return f"raybayes trials of {self._spec.name}" if hasattr(self, "_spec") else "raybayes trials"

    def step(self) -> dict[str, Any]:
        need = self._spec.resources
        if need.workers > 1:
            from raybayes.engine.on_ray.train import serve_in_group

            lost = serve_in_group(self._slot, self._controller, self._spec, self._home)
        else:
            lost = self._serve()
        if lost is not None:
            warning = ray.get(self._controller.close_slot.remote(self._slot, lost))
            if warning is not None:
                _LOG.warning(warning)
        return {"done": True}

    def _serve(self) -> str | None:
        need = self._spec.resources
        device = torch.device("cuda:0" if need.gpus_per_worker > 0 else "cpu")
        worker_context = WorkerContext(self._slot, SingleProcessGroup(), device, threads_of(need.cpus_per_worker))
        try:
            serve(worker_context, ControllerClient(self._controller), self._spec.reuse)
        except Exception as error:  # the desk knows the reason; after it, the trial's process is not used again
            return str(error)
        return None


class SlotSearcher(Searcher):  # type: ignore[misc]
    """Asks Tune for slots as the desk needs them. It remembers nothing: the study does."""

    def __init__(self, controller: Any) -> None:
        super().__init__(metric="done", mode="max")
        self._controller = controller
        self._slots: dict[str, int] = {}

    def suggest(self, trial_id: str) -> Any:
        slot, over = ray.get(self._controller.open_slot.remote())
        if slot is None:
            return Searcher.FINISHED if over else None
        self._slots[trial_id] = slot
        return {"slot": slot}

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        slot = self._slots.pop(trial_id, None)
        if slot is not None and not error:  # else with the reason, below
            ray.get(self._controller.close_slot.remote(slot, "its slot has left"))

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""


class SlotFailureCallback(tune.Callback):  # type: ignore[misc]
    """Tells the desk which slots are lost."""

    def __init__(self, controller: Any) -> None:
        self._controller = controller

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        error = _error_of(trial)
        broken = isinstance(error, ray.exceptions.RayActorError) and error.actor_init_failed
        warning = ray.get(self._controller.close_slot.remote(trial.config["slot"], _reason(trial, error), broken))
        if warning is not None:
            _LOG.warning(warning)


def _error_of(trial: Any) -> Exception | None:
    """The exception that Tune has kept of a trial."""
    if trial.pickled_error_file is None:
        return None
    with open(trial.pickled_error_file, "rb") as file:
        error: Exception = cloudpickle.load(file)
    return error


def _reason(trial: Any, error: Exception | None) -> str:
    """What Ray says of a death, without its names for the process (lines that begin with a tab) and its advice."""
    if error is None and trial.error_file is not None:  # of a death by the memory monitor Tune keeps the text alone
        lines = Path(trial.error_file).read_text("utf-8").splitlines()
        return next((line for line in lines if "low on memory" in line), lines[-1] if lines else "no reason is known")
    told = [line.strip() for line in str(error or "").splitlines() if line.strip() and not line.startswith("\t")]
    return told[-1].partition(" Some common causes")[0] if told else "Ray does not say why"


@contextlib.contextmanager
def _told_of_killed_workers() -> Iterator[None]:
    """Let Tune take a process that Ray's memory monitor has killed for what it is: dead.

    Ray tells it with an OutOfMemoryError, which is no RayActorError. Tune (as of Ray 2.60) does not know that one, and
    would end the whole run with all its trials.
    """
    whole = ray.exceptions.RayActorError
    for module in (actor_manager, tune_controller):
        module.RayActorError = (whole, ray.exceptions.OutOfMemoryError)  # all that they do with it is isinstance
    try:
        yield
    finally:
        for module in (actor_manager, tune_controller):
            module.RayActorError = whole


def run_trials(controller: Any, spec: SweepSpec, storage: Storage, cluster: Cluster) -> None:
    """Work through a burst with Ray Tune, in as many slots as the desk asks for.

    Raises:
        ClusterError: the cluster, or the desk's process, was lost, or no slot can be started. Everything is stored.
        StoreError: the storage has refused something; the burst is at its end.
    """
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # it would call a sweep incomplete that lost a worker
    # With Tune's default of one pending trial, a slot waits until the one before it has started.
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(max(2, slots(cluster.nodes, spec.resources)))
    scratch = tempfile.mkdtemp(prefix="raybayes-tune-")
    lost = None
    try:
        with _told_of_killed_workers():
            _tuner(controller, spec, storage, cluster, scratch).fit()
    except (ray.exceptions.RayError, tune.error.TuneError) as error:
        reason = str(error).strip().splitlines()[-1]
        lost = ClusterError(f"the Ray cluster was lost ({reason}); everything is stored, go on with resume.")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    try:
        problem = ray.get(controller.problem.remote()) or lost
    except ray.exceptions.RayError:  # `lost` says so, or closing the desk will
        problem = lost
    if problem is not None:
        raise problem


def _tuner(controller: Any, spec: SweepSpec, storage: Storage, cluster: Cluster, scratch: str) -> tune.Tuner:
    slot = tune.with_resources(
        tune.with_parameters(SlotActor, controller=controller, spec=spec, storage=storage),
        _bundle(spec.resources, cluster),
    )
    # Tune keeps one class for each name; two sweeps of one process would serve the desk of the later one.
    slot.__name__ = f"{SlotActor.__name__}-{uuid.uuid4().hex[:8]}"
    return tune.Tuner(
        slot,
        tune_config=tune.TuneConfig(
            search_alg=SlotSearcher(controller),
            num_samples=-1,
            reuse_actors=False,  # a slot that leaves makes room for a fresh process
            trial_name_creator=_slot_name,
            trial_dirname_creator=_slot_name,
        ),
        run_config=tune.RunConfig(
            name=spec.name,
            storage_path=scratch,
            verbose=0,
            callbacks=[SlotFailureCallback(controller)],
            failure_config=tune.FailureConfig(max_failures=0),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),  # ours are in the sweep's store
        ),
    )


def _slot_name(trial: Any) -> str:
    return f"slot-{trial.config['slot']}-{trial.trial_id}"


def _bundle(need: Resources, cluster: Cluster) -> PlacementGroupFactory:
    if need.workers > 1:  # the workers have their own bundles; this is their slot's ticket
        return PlacementGroupFactory([cluster.ticket])
    bundle = {"CPU": need.cpus_per_worker, "GPU": need.gpus_per_worker}
    return PlacementGroupFactory([{name: amount for name, amount in bundle.items() if amount}])
