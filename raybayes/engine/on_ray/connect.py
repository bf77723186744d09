"""The machines: what they have, whether a trial fits, how to connect. A private local Ray unless one is given."""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib
import math
import os
import secrets
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from raybayes.engine.controller.slot_limit import SlotLimit
from raybayes.engine.on_ray.ray_internals import HEAD_RESOURCE, in_own_process_group
from raybayes.engine.on_ray.ray_settings import DRIVER_VARIABLES, TRIAL_SLOT
from raybayes.errors import ClusterError, ResourceError
from raybayes.hardware import GIB, has_gpu_driver
from raybayes.spec.sweep_spec import Resources, SweepSpec
from raybayes.versions import require_version


@dataclass(frozen=True)
class Node:
    """One machine: CPU cores, GPUs, and the memory that Ray grants to workers."""

    cpus: float
    gpus: float
    memory_gib: float = 0.0


def this_machine() -> list[Node]:
    """What a local Ray would have, without starting one."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return [Node(cpus, count_gpus())]


def count_gpus() -> int:
    """GPUs that torch may use; where there is no driver, without the two seconds that loading torch takes."""
    if not has_gpu_driver():
        return 0
    import torch

    return torch.cuda.device_count()


def alive_nodes() -> list[Node]:
    """The machines of the Ray that this process is connected to."""
    import ray

    return [_node(node["Resources"]) for node in ray.nodes() if node["Alive"]]


def _node(resources: Mapping[str, float]) -> Node:
    """A machine as Ray counts it."""
    return Node(resources.get("CPU", 0.0), resources.get("GPU", 0.0), resources.get("memory", 0.0) / GIB)


def count_slots(nodes: Sequence[Node], need: Resources) -> int:
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


def make_slot_limit(nodes: Sequence[Node], spec: SweepSpec) -> SlotLimit:
    """How many slots a sweep may have on these machines."""
    most = count_slots(nodes, spec.resources)
    if spec.concurrency == "auto":
        return SlotLimit(most, [node.memory_gib for node in nodes], spec.resources.workers)
    return SlotLimit(min(most, spec.concurrency or most))


def require_fit(nodes: Sequence[Node], need: Resources) -> int:
    """How many trials fit at once. Ray lets an impossible request wait for ever, so it is refused here.

    Raises:
        ResourceError: not even one trial fits.
    """
    found = count_slots(nodes, need)
    if found:
        return found
    machines = ", ".join(f"{node.cpus:g} CPUs + {node.gpus:g} GPUs" for node in nodes)
    fitting = sum(_workers_on(node, need) for node in nodes)
    advice = f"use --workers {fitting} or fewer" if fitting else "request less per worker, or use larger machines"
    workers = f"{need.workers} worker{'s' if need.workers > 1 else ''}"
    raise ResourceError(
        f"a trial of {workers} with {need.cpus_per_worker:g} CPUs and {need.gpus_per_worker:g} GPUs each "
        f"never fits on {machines}, where {fitting} such workers have room; {advice}."
    )


@dataclass(frozen=True)
class Cluster:
    """A Ray that this process is connected to.

    Args:
        nodes: its machines.
        slot_bundle: the resources that a trial of several workers reserves for its slot.
        private: whether it was started here and ends with the burst.
    """

    nodes: tuple[Node, ...]
    slot_bundle: dict[str, float]
    private: bool


@contextlib.contextmanager
def connect(need: Resources, about: Mapping[str, str] | None = None) -> Iterator[Cluster]:
    """Connect to the cluster of RAY_ADDRESS (or the one this process is in already), else start a private local Ray.

    Args:
        about: what Ray's dashboard and jobs API say about this program, beside what a submitter said.

    Raises:
        ClusterError: the cluster does not answer.
        ResourceError: no trial fits on it.
    """
    private = prepare_driver()
    import ray

    with contextlib.ExitStack() as stack:
        if private:
            _start_local(need)
            stack.callback(ray.shutdown)
        elif not ray.is_initialized():
            _join(os.environ["RAY_ADDRESS"], about or {})
            stack.callback(ray.shutdown)
        nodes = tuple(alive_nodes())
        require_fit(nodes, need)
        yield Cluster(nodes, slot_bundle_of(ray.cluster_resources()), private)


def prepare_driver() -> bool:
    """Set what Ray reads at its import, and import it; whether a private Ray must be started."""
    require_version("ray")
    for name, value in DRIVER_VARIABLES.items():
        os.environ.setdefault(name, value)
    address = os.environ.get("RAY_ADDRESS")
    if not address:
        _use_private_token()
    import ray

    return not (address or ray.is_initialized())


def slot_bundle_of(resources: Mapping[str, float]) -> dict[str, float]:
    """What a trial of several workers reserves for its slot; the head admits it where no cluster file made slots."""
    return {TRIAL_SLOT: 1.0} if resources.get(TRIAL_SLOT, 0.0) >= 1 else {HEAD_RESOURCE: 0.001}


def _start_local(need: Resources) -> None:
    import ray

    nodes = this_machine()
    fitting = require_fit(nodes, need)
    # Ray's start is waiting for other processes; the driver needs torch afterwards.
    threading.Thread(target=importlib.import_module, args=("torch",), daemon=True).start()
    with in_own_process_group():
        ray.init(
            address="local",
            num_cpus=int(nodes[0].cpus),
            num_gpus=int(nodes[0].gpus),
            resources={TRIAL_SLOT: fitting},
            include_dashboard=False,
            object_store_memory=256 * 1024**2,
            log_to_driver=False,
            logging_level="ERROR",
            namespace="raybayes",
        )


def _join(address: str, about: Mapping[str, str]) -> None:
    import ray

    try:
        ray.init(
            address=address,
            log_to_driver=False,
            logging_level="ERROR",
            namespace="raybayes",
            job_config=ray.job_config.JobConfig(metadata=dict(about)),
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ClusterError(f"Ray at {address} does not answer ({error}); check RAY_ADDRESS.") from None


@functools.cache
def _use_private_token() -> None:
    """Protect a private Ray by a token that its owner alone can read: others on this machine must not submit to it.

    Made once per process and kept until its end, because Ray reads the token once. A process that has imported ray
    before (a notebook) keeps Ray's own choice, which is fixed at its import.
    """
    if "ray" in sys.modules or "RAY_AUTH_MODE" in os.environ or "RAY_AUTH_TOKEN_PATH" in os.environ:
        return
    folder = Path(tempfile.mkdtemp(prefix="raybayes-token-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = folder / "token"
    path.touch(mode=0o600)
    path.write_text(secrets.token_hex(32))
    os.environ["RAY_AUTH_MODE"], os.environ["RAY_AUTH_TOKEN_PATH"] = "token", str(path)
