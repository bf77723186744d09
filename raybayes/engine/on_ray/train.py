"""One Ray Train run that serves a slot: its workers train one trial after the other.

To start a group of workers costs Ray 8 to 16 s; a group that is there takes its next trial in milliseconds.
"""

from __future__ import annotations

import contextlib
import uuid
from typing import Any

import ray.train
from ray.train.torch import TorchConfig, TorchTrainer, get_device
from ray.train.v2.api.exceptions import TrainingFailedError

from raybayes.engine.on_ray.controller_actor import ControllerClient
from raybayes.engine.worker.context import ProcessGroup, SingleProcessGroup
from raybayes.engine.worker.process_group import TorchProcessGroup
from raybayes.engine.worker.run_trial import threads_of
from raybayes.engine.worker.slot_loop import WorkerContext, serve
from raybayes.spec.sweep_spec import Resources, SweepSpec
from raybayes.store.filesystem import Storage
from raybayes.store.layout import Layout


def backend_of(resources: Resources) -> str:
    """NCCL between whole GPUs; gloo on CPUs and where workers share a GPU, which NCCL refuses."""
    return "nccl" if resources.gpus_per_worker >= 1 else "gloo"


def _worker(loop: dict[str, Any]) -> None:
    """What each worker of the group runs."""
    spec: SweepSpec = loop["spec"]
    device = get_device()
    group: ProcessGroup = TorchProcessGroup(device) if spec.resources.workers > 1 else SingleProcessGroup()
    worker_context = WorkerContext(loop["slot"], group, device, threads_of(spec.resources.cpus_per_worker))
    serve(worker_context, ControllerClient(loop["controller"]), spec.reuse)


def serve_in_group(slot: int, controller: Any, spec: SweepSpec, storage: Storage) -> str | None:
    """Serve a slot with `spec.resources.workers` Ray Train workers; how it ended, if not in order.

    Args:
        storage: the sweep's folder; Ray Train keeps its own records there while it runs.

    Nothing is killed from outside: the sweep stops a trial through `ctx.report`, in all ranks at the same step, and
    the group leaves when the desk has no more for it. So its placement group is always given back.
    """
    # A name is never used twice: Train would take a finished run of that name for this one and train nothing.
    name = f"{Layout(storage).name}-slot-{slot}-{uuid.uuid4().hex[:8]}"
    records = storage.child(f".ray-{name}")
    try:
        _trainer(slot, controller, spec, name, records).fit()
    except TrainingFailedError as error:
        return str(error).strip().splitlines()[0]
    finally:
        with contextlib.suppress(Exception):  # left-overs of Ray's own records must never fail a trial
            records.delete()
    return None


def _trainer(slot: int, controller: Any, spec: SweepSpec, name: str, records: Storage) -> TorchTrainer:
    resources = spec.resources
    need = {"CPU": resources.cpus_per_worker, "GPU": resources.gpus_per_worker}
    return TorchTrainer(
        _worker,
        train_loop_config={"slot": slot, "controller": controller, "spec": spec},
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
