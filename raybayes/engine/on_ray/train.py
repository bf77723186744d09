"""One Ray Train run that serves a slot: its workers train one trial after the other.

To start a group of workers costs Ray 8 to 16 s; a group that is up takes its next trial in milliseconds.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from dataclasses import dataclass

import ray.train
from ray.train.torch import TorchConfig, TorchTrainer, get_device

from raybayes import catalog
from raybayes.engine.on_ray.controller_client import ControllerClient
from raybayes.engine.worker.process_group import ProcessGroup, SingleProcessGroup, TorchProcessGroup
from raybayes.engine.worker.process_state import WorkerRecycler
from raybayes.engine.worker.run_trial import threads_per_worker
from raybayes.engine.worker.slot_loop import WorkerContext, serve
from raybayes.spec.sweep_spec import Resources, SweepSpec
from raybayes.store.filesystem import Storage
from raybayes.store.layout import Layout
from raybayes.training.own import OwnTraining

_OPEN_SLOT_S = 0.1  # between two attempts to get a slot after one was lost


@dataclass(frozen=True)
class _WorkerArguments:
    """What each worker of a group gets."""

    slot: int
    controller: ControllerClient
    spec: SweepSpec
    training: OwnTraining | None


def run_training(
    controller: ControllerClient, spec: SweepSpec, storage: Storage, training: OwnTraining | None = None
) -> None:
    """Train the one run of `raybayes train` on a Ray Train group; if that is lost, on another, within the retries.

    Args:
        storage: the sweep's folder.
        training: what is trained, if it is not in the catalogue.

    Raises:
        RaybayesError: what the controller names as the reason why the burst must end.
    """
    over = False
    while not over:
        slot, over = controller.open_slot()
        if slot is None:
            time.sleep(_OPEN_SLOT_S)
            continue
        failure = serve_in_group(slot, controller, spec, storage, training)
        controller.on_slot_exit(slot, failure or "its workers have left")
    problem = controller.problem()
    if problem is not None:
        raise problem


def serve_in_group(
    slot: int, controller: ControllerClient, spec: SweepSpec, storage: Storage, training: OwnTraining | None = None
) -> str | None:
    """Serve a slot with `spec.resources.workers` Ray Train workers; why it ended, if not in order.

    Nothing is killed from outside: the sweep stops a trial through `ctx.report`, in all ranks at the same step, and
    the group leaves when the controller has no more runs for it. So its placement group is always released.

    Args:
        storage: the sweep's folder; Ray Train keeps its own records there while it runs.
        training: what is trained, if it is not in the catalogue.
    """
    # A name is never used twice: Train would take a finished run of that name for this one and train nothing.
    name = f"{Layout(storage).name}-slot-{slot}-{uuid.uuid4().hex[:8]}"
    records = storage.child(f".ray-{name}")
    try:
        _make_trainer(_WorkerArguments(slot, controller, spec, training), name, records).fit()
    except ray.train.TrainingFailedError as error:
        return str(error).strip().splitlines()[0]
    finally:
        with contextlib.suppress(Exception):  # what is left of Ray's own records must never fail a trial
            records.delete()
    return None


def backend_of(resources: Resources) -> str:
    """NCCL between whole GPUs; gloo on CPUs and where workers share a GPU, which NCCL refuses."""
    return "nccl" if resources.gpus_per_worker >= 1 else "gloo"


def _serve_as_rank(loop: dict[str, _WorkerArguments]) -> None:
    """What each worker of the group runs."""
    given = loop["arguments"]
    if given.training is not None:
        catalog.add_own(given.spec.project, given.training.project)
    need, reuse, device = given.spec.resources, given.spec.reuse, get_device()
    group: ProcessGroup = TorchProcessGroup(device) if need.workers > 1 else SingleProcessGroup()
    worker = WorkerContext(given.slot, group, device, threads_per_worker(need.cpus_per_worker))
    serve(worker, given.controller, WorkerRecycler(reuse.trials, reuse.growth_gib))


def _make_trainer(arguments: _WorkerArguments, name: str, records: Storage) -> TorchTrainer:
    resources = arguments.spec.resources
    need = {"CPU": resources.cpus_per_worker, "GPU": resources.gpus_per_worker}
    return TorchTrainer(
        _serve_as_rank,
        train_loop_config={"arguments": arguments},
        scaling_config=ray.train.ScalingConfig(
            num_workers=resources.workers,
            use_gpu=resources.gpus_per_worker > 0,
            resources_per_worker={name: amount for name, amount in need.items() if amount},
        ),
        torch_config=TorchConfig(backend=backend_of(resources)),
        run_config=ray.train.RunConfig(
            name=name,
            storage_path=records.full_path(),
            storage_filesystem=records.fs,
            failure_config=ray.train.FailureConfig(max_failures=0),
            logging_config=ray.train.LoggingConfig(log_level="ERROR"),
        ),
    )
