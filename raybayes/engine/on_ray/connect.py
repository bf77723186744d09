"""The machines: what they have, whether a trial fits, how to reach them. A private local Ray unless one is given."""

from __future__ import annotations

import atexit
import contextlib
import functools
import math
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from raybayes.engine.controller.slot_limit import SlotLimit
from raybayes.engine.on_ray.ray_settings import COMMON_VARIABLES, TRIAL_SLOT
from raybayes.errors import ClusterError, ResourceError
from raybayes.spec.sweep_spec import Resources, SweepSpec

_HEAD = "node:__internal_head__"
GIB = 2.0**30

# Set before ray is imported: reused workers, no per-trial loggers, no state snapshots (the study is the memory), and a
# fast look at Train's workers, which costs 3-5 s per run at Ray's default of 2 s.
_ENVIRONMENT = {
    **COMMON_VARIABLES,
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.1",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}


@dataclass(frozen=True)
class Node:
    """CPU cores, GPUs, and the memory that Ray lets its workers have, of one machine."""

    cpus: float
    gpus: float
    memory_gib: float = 0.0


def this_machine() -> list[Node]:
    """What a local Ray would have, without starting one."""
    import torch

    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return [Node(cpus, torch.cuda.device_count())]


def alive() -> list[Node]:
    """The machines of the Ray that this process is in."""
    import ray

    return [_node(node["Resources"]) for node in ray.nodes() if node["Alive"]]


def _node(resources: Mapping[str, float]) -> Node:
    """A machine as Ray counts it."""
    return Node(resources.get("CPU", 0.0), resources.get("GPU", 0.0), resources.get("memory", 0.0) / GIB)


def slots(nodes: Sequence[Node], need: Resources) -> int:
    """How many trials fit at once. A worker never spans machines; a trial's workers may."""
    capacity = sum(_workers_on(node, need) for node in nodes)
    return capacity // need.workers


def _workers_on(node: Node, need: Resources) -> int:
    by_cpu = math.floor(node.cpus / need.cpus_per_worker + 1e-9)
    if not need.gpus_per_worker:
        return by_cpu
    if need.gpus_per_worker < 1:  # a fraction never spans two GPUs
        by_gpu = int(node.gpus) * math.floor(1 / need.gpus_per_worker + 1e-9)
    else:
        by_gpu = math.floor(node.gpus / need.gpus_per_worker + 1e-9)
    return min(by_cpu, by_gpu)


def slot_limit_of(nodes: Sequence[Node], spec: SweepSpec) -> SlotLimit:
    """The room for a sweep's slots."""
    most = slots(nodes, spec.resources)
    if spec.concurrency == "auto":
        return SlotLimit(most, [node.memory_gib for node in nodes], spec.resources.workers)
    return SlotLimit(min(most, spec.concurrency or most))


def require_fit(nodes: Sequence[Node], need: Resources) -> int:
    """The number of slots. Ray lets an impossible request wait for ever, so it is refused here.

    Raises:
        ResourceError: not even one trial fits.
    """
    found = slots(nodes, need)
    if found:
        return found
    machines = ", ".join(f"{node.cpus:g} CPUs + {node.gpus:g} GPUs" for node in nodes)
    fitting = sum(_workers_on(node, need) for node in nodes)
    advice = f"use --workers {fitting} or fewer" if fitting else "ask for less a worker, or for larger machines"
    workers = f"{need.workers} worker{'s' if need.workers > 1 else ''}"
    raise ResourceError(
        f"a trial of {workers} with {need.cpus_per_worker:g} CPUs and {need.gpus_per_worker:g} GPUs each "
        f"never fits on {machines}, where {fitting} such workers have room; {advice}."
    )


@dataclass(frozen=True)
class Cluster:
    """A connected Ray.

    Args:
        nodes: its machines.
        ticket: the resource that admits a trial of several workers. It is no CPU: a trial that held one while its
            workers wait for theirs would wait for ever.
        private: whether it was started here and ends with the burst.
    """

    nodes: tuple[Node, ...]
    ticket: dict[str, float]
    private: bool


@contextlib.contextmanager
def connected(need: Resources, about: Mapping[str, str] | None = None) -> Iterator[Cluster]:
    """Join the cluster of RAY_ADDRESS (or the one this process is in already), else start a private local Ray.

    Args:
        about: what Ray's dashboard and jobs API say of this program, beside what a submitter said.

    Raises:
        ClusterError: the cluster does not answer.
        ResourceError: no trial fits on it.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    with contextlib.ExitStack() as stack:
        address = os.environ.get("RAY_ADDRESS")
        if not address:
            _private_token()
        import ray

        private = not (address or ray.is_initialized())
        if private:
            nodes = this_machine()
            tickets = require_fit(nodes, need)
            with _spared_signals():
                ray.init(
                    address="local",
                    num_cpus=int(nodes[0].cpus),
                    num_gpus=int(nodes[0].gpus),
                    resources={TRIAL_SLOT: tickets},
                    include_dashboard=False,
                    object_store_memory=256 * 1024**2,
                    log_to_driver=False,
                    logging_level="ERROR",
                    namespace="raybayes",
                )
            stack.callback(ray.shutdown)
        elif not ray.is_initialized():
            try:
                ray.init(
                    address=address,
                    log_to_driver=False,
                    logging_level="ERROR",
                    namespace="raybayes",
                    job_config=ray.job_config.JobConfig(metadata=dict(about or {})),
                )
            except (ConnectionError, RuntimeError, ValueError) as error:
                raise ClusterError(f"Ray at {address} does not answer ({error}); check RAY_ADDRESS.") from None
            stack.callback(ray.shutdown)
        found = tuple(alive())
        require_fit(found, need)
        has_tickets = ray.cluster_resources().get(TRIAL_SLOT, 0.0) >= 1
        yield Cluster(found, {TRIAL_SLOT: 1.0} if has_tickets else {_HEAD: 0.001}, private)


@contextlib.contextmanager
def _spared_signals() -> Iterator[None]:
    """Start Ray's processes in a process group of their own; they end with this process all the same.

    `timeout`, batch systems and shells send SIGTERM or SIGUSR1 to a whole group: it is for the driver, which ends the
    burst in order, and needs its Ray until then.
    """
    from ray._private import services

    whole = services.ConsolePopen
    services.ConsolePopen = functools.partial(whole, process_group=0)
    try:
        yield
    finally:
        services.ConsolePopen = whole


@functools.cache
def _private_token() -> None:
    """A token for a private Ray, readable by its owner alone: others on this machine must not submit to it.

    Made once a process and kept until its end, because Ray reads the token once. Whoever has imported ray before
    (a notebook) keeps Ray's own choice, which is fixed at its import.
    """
    if "ray" in sys.modules or "RAY_AUTH_MODE" in os.environ or "RAY_AUTH_TOKEN_PATH" in os.environ:
        return
    folder = Path(tempfile.mkdtemp(prefix="raybayes-token-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = folder / "token"
    path.touch(mode=0o600)
    path.write_text(secrets.token_hex(32))
    os.environ["RAY_AUTH_MODE"], os.environ["RAY_AUTH_TOKEN_PATH"] = "token", str(path)
