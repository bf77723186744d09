"""The Ray Tune loop of a burst: Tune places the slots and starts their processes; the controller decides all else.

A Tune trial is a slot, which trains one of our trials after the other: Tune needs 40 ms to hand a process its next
trial, and a slot gets it from the controller in 2. Tune restarts nothing either. A run whose process is lost goes back
to the controller, which gives it to another slot: to a node that is dead but not yet known to be, Tune would send it
again until all retries are used up.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import uuid
from typing import Any

import ray
import ray.exceptions
import torch
from ray import tune
from ray.tune.search import Searcher

from raybayes import catalog
from raybayes.engine.on_ray.connect import Cluster, count_slots
from raybayes.engine.on_ray.controller_client import ControllerClient
from raybayes.engine.on_ray.ray_internals import error_of_trial, memory_kills_as_actor_deaths, reason_of_trial
from raybayes.engine.on_ray.ray_settings import MAX_PENDING_TRIALS
from raybayes.engine.worker.process_group import SingleProcessGroup
from raybayes.engine.worker.process_state import WorkerRecycler
from raybayes.engine.worker.run_trial import threads_per_worker
from raybayes.engine.worker.slot_loop import WorkerContext, serve
from raybayes.errors import ClusterError
from raybayes.spec.sweep_spec import Resources, SweepSpec
from raybayes.store.filesystem import Storage
from raybayes.training.own import OwnTraining

_LOG = logging.getLogger("raybayes.engine")


class SlotActor(tune.Trainable):  # type: ignore[misc]
    """A slot's process; where trials have several workers, the driver of the Ray Train run that serves it."""

    def setup(
        self,
        config: dict[str, Any],
        controller: ControllerClient | None = None,
        spec: SweepSpec | None = None,
        storage: Storage | None = None,
        training: OwnTraining | None = None,
    ) -> None:
        assert controller is not None
        assert spec is not None
        assert storage is not None
        # `_storage` is Tune's own name for something else.
        self._slot, self._controller, self._spec, self._sweep_folder = config["slot"], controller, spec, storage
        self._training = training
        if training is not None:
            catalog.add_own(spec.project, training.project)

    def __repr__(self) -> str:
        """What Ray's dashboard and logs call this actor: its sweep, because it serves many trials."""
        return f"raybayes trials of {self._spec.name}" if hasattr(self, "_spec") else "raybayes trials"

    def step(self) -> dict[str, Any]:
        """Serve the slot until it leaves; then Tune's trial is done."""
        if self._spec.resources.workers > 1:
            from raybayes.engine.on_ray.train import serve_in_group

            failure = serve_in_group(self._slot, self._controller, self._spec, self._sweep_folder, self._training)
        else:
            failure = self._serve()
        if failure is not None:
            warning = self._controller.on_slot_exit(self._slot, failure)
            if warning is not None:
                _LOG.warning(warning)
        return {"done": True}

    def _serve(self) -> str | None:
        """Serve the slot in this process; why it ended, if not in order."""
        need, reuse = self._spec.resources, self._spec.reuse
        device = torch.device("cuda:0" if need.gpus_per_worker > 0 else "cpu")
        worker = WorkerContext(self._slot, SingleProcessGroup(), device, threads_per_worker(need.cpus_per_worker))
        try:
            serve(worker, self._controller, WorkerRecycler(reuse.trials, reuse.growth_gib))
        except Exception as error:  # the controller knows the reason; this process is not used again
            return str(error)
        return None


class SlotSearcher(Searcher):  # type: ignore[misc]
    """Has Tune open slots as the controller needs them. It remembers nothing: the study does."""

    def __init__(self, controller: ControllerClient) -> None:
        super().__init__(metric="done", mode="max")
        self._controller = controller
        self._slots: dict[str, int] = {}

    def suggest(self, trial_id: str) -> Any:
        slot, over = self._controller.open_slot()
        if slot is None:
            return Searcher.FINISHED if over else None
        self._slots[trial_id] = slot
        return {"slot": slot}

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        slot = self._slots.pop(trial_id, None)
        if slot is not None and not error:  # else `SlotFailureCallback` says it, with the reason
            self._controller.on_slot_exit(slot, "its slot has left")

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""


class SlotFailureCallback(tune.Callback):  # type: ignore[misc]
    """Tells the controller which slots are lost."""

    def __init__(self, controller: ControllerClient) -> None:
        self._controller = controller

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        error = error_of_trial(trial)
        broken = isinstance(error, ray.exceptions.RayActorError) and error.actor_init_failed
        warning = self._controller.on_slot_exit(trial.config["slot"], reason_of_trial(trial, error), broken)
        if warning is not None:
            _LOG.warning(warning)


def run_trials(
    controller: ControllerClient,
    spec: SweepSpec,
    storage: Storage,
    cluster: Cluster,
    training: OwnTraining | None = None,
) -> None:
    """Run slots until the controller needs none any more.

    Args:
        storage: the sweep's folder.
        training: what is trained, if it is not in the catalogue.

    Raises:
        ClusterError: the cluster or the controller's process was lost, or no slot can be started; all is stored.
        StoreError: the storage has failed; the burst ends.
    """
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # it would call a sweep incomplete that lost a worker
    os.environ[MAX_PENDING_TRIALS] = str(max(2, count_slots(cluster.nodes, spec.resources)))
    scratch = tempfile.mkdtemp(prefix="raybayes-tune-")
    lost = None
    try:
        with memory_kills_as_actor_deaths():
            _make_tuner(controller, spec, storage, cluster, scratch, training).fit()
    except (ray.exceptions.RayError, tune.TuneError) as error:
        reason = str(error).strip().splitlines()[-1]
        lost = ClusterError(
            f"the Ray cluster was lost ({reason}). Everything is stored; continue with raybayes resume."
        )
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    try:
        problem = controller.problem() or lost
    except ray.exceptions.RayError:  # `lost` says so, or closing the controller will
        problem = lost
    if problem is not None:
        raise problem


def _make_tuner(
    controller: ControllerClient,
    spec: SweepSpec,
    storage: Storage,
    cluster: Cluster,
    scratch: str,
    training: OwnTraining | None,
) -> tune.Tuner:
    slot = tune.with_resources(
        tune.with_parameters(SlotActor, controller=controller, spec=spec, storage=storage, training=training),
        _slot_bundle(spec.resources, cluster),
    )
    # Tune keeps one class for each name; of two sweeps in one process, both would get the controller of the later one.
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


def _slot_bundle(need: Resources, cluster: Cluster) -> tune.PlacementGroupFactory:
    """What Tune reserves for a slot; the workers of a slot of several have their own bundles."""
    if need.workers > 1:
        return tune.PlacementGroupFactory([cluster.slot_bundle])
    bundle = {"CPU": need.cpus_per_worker, "GPU": need.gpus_per_worker}
    return tune.PlacementGroupFactory([{name: amount for name, amount in bundle.items() if amount}])
