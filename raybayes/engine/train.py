"""Trains one job on a Ray Train worker group: the executor of `raybayes train`, and of trials with several workers."""

from __future__ import annotations

import contextlib
import traceback
import uuid
from typing import Any

import ray.train
from ray.train.torch import TorchConfig, TorchTrainer, get_device
from ray.train.v2.api.exceptions import TrainingFailedError

from raybayes.engine.context import Alone, Group
from raybayes.engine.desk import RemoteDesk
from raybayes.engine.group import Joined
from raybayes.engine.job import Job, describe_error
from raybayes.engine.perform import perform, threads_of
from raybayes.spec import Resources
from raybayes.store.layout import Layout


def backend_of(resources: Resources) -> str:
    """NCCL between whole GPUs; gloo on CPUs and where workers share a GPU, which NCCL refuses."""
    return "nccl" if resources.gpus_per_worker >= 1 else "gloo"


def _worker(loop: dict[str, Any]) -> None:
    """What each worker of the group runs."""
    job, desk, resources = loop["job"], RemoteDesk(loop["desk"]), loop["resources"]
    device = get_device()
    group: Group = Joined(device) if resources.workers > 1 else Alone()
    try:
        perform(job, desk, group, device, threads_of(resources.cpus_per_worker))
    except Exception as error:
        if not _peer_lost(error):
            # Told before the group is torn down, so that a mistake in the code is not taken for a lost worker.
            desk.failed(job.key, describe_error(error))
        raise


def _peer_lost(error: BaseException) -> bool:
    """Whether a collective operation broke off, which is how the ranks that live notice the one that does not."""
    frames = traceback.extract_tb(error.__traceback__)
    return any("/torch/distributed/" in frame.filename for frame in frames)


def train_group(job: Job, desk: RemoteDesk, resources: Resources, retries: int) -> str | None:
    """Train a job on `resources.workers` Ray Train workers; the error as text if it failed.

    A lost worker restarts the group from the newest checkpoint, `retries` times. An exception of the training
    function is final. The sweep stops a trial through `ctx.report`, in all ranks at the same step: nothing is
    killed, so the group's placement group is always given back.
    """
    for left in range(retries, -1, -1):
        try:
            _trainer(job, desk, resources).fit()
            return None
        except TrainingFailedError as error:
            told = desk.error_of(job.key)
            if told is not None:
                return told
            if not left:
                lost = str(error).strip().splitlines()
                return f"a worker was lost {retries + 1} times (killed, out of memory, or its node died): {lost[0]}"
        finally:
            with contextlib.suppress(Exception):  # left-overs of Ray's own records must never fail a trial
                job.storage.delete(_SCRATCH)
    return None


_SCRATCH = ".ray"


def _trainer(job: Job, desk: RemoteDesk, resources: Resources) -> TorchTrainer:
    need = {"CPU": resources.cpus_per_worker, "GPU": resources.gpus_per_worker}
    return TorchTrainer(
        _worker,
        train_loop_config={"job": job, "desk": desk.handle, "resources": resources},
        scaling_config=ray.train.ScalingConfig(
            num_workers=resources.workers,
            use_gpu=resources.gpus_per_worker > 0,
            resources_per_worker={name: amount for name, amount in need.items() if amount},
        ),
        torch_config=TorchConfig(backend=backend_of(resources)),
        run_config=ray.train.RunConfig(
            # A name is never used twice: Train would take a finished run of that name for this one and train nothing.
            name=f"{Layout(job.storage).name}-{job.trial:05d}-{job.repeat}-{uuid.uuid4().hex[:8]}",
            storage_path=job.storage.full(_SCRATCH),
            storage_filesystem=job.storage.fs,
            failure_config=ray.train.FailureConfig(max_failures=0),
            logging_config=ray.train.LoggingConfig(log_level="ERROR"),
        ),
    )
