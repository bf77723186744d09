"""Every private name, path and sentence of Ray that raybayes depends on, as of Ray 2.56.0 to 2.60.0.

Importing it does not import Ray; each function imports what it needs. `tests/engine/on_ray/test_ray_internals.py`
compares each name with the installed Ray, so that an upgrade which moves one fails there and not on a cluster.
"""

from __future__ import annotations

import contextlib
import functools
import getpass
import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# The module behind the `ray` program: a node runs it with its own interpreter, whatever `ray` is on the PATH.
RAY_PROGRAM = ("-m", "ray.scripts.scripts")
# One unit of this resource is on the head node, for what must be admitted there.
HEAD_RESOURCE = "node:__internal_head__"
# `ray start` prints this when its own processes needed more than 30 s, a limit that cannot be set.
START_TIMED_OUT = "timed out during startup"
# "session_2026-01-31_14-25-01_123456_1234567/sockets/dash_MetricsHead", the longest path in a node's temporary folder.
LONGEST_SOCKET = "session_YYYY-MM-DD_HH-MM-SS_ffffff_1234567/sockets/dash_MetricsHead"


@contextlib.contextmanager
def in_own_process_group() -> Iterator[None]:
    """Have Ray's processes started in a process group of their own; they still end with this process.

    `timeout`, batch systems and shells send SIGTERM or SIGUSR1 to a whole group: the signal is for the driver, which
    ends the burst in order, and needs its Ray until then. Ray has no option for it. A head process of our own would not
    serve a driver that imported ray before (a notebook): Ray fixes how a process authenticates at its import, and the
    two processes would choose differently.
    """
    from ray._private import services

    whole = services.ConsolePopen
    services.ConsolePopen = functools.partial(whole, process_group=0)
    try:
        yield
    finally:
        services.ConsolePopen = whole


@contextlib.contextmanager
def memory_kills_as_actor_deaths() -> Iterator[None]:
    """Have Tune take a process that Ray's memory monitor has killed for what it is: dead.

    Ray raises an OutOfMemoryError then, which is not a RayActorError. Tune does not know it, and would end the whole
    run with all its trials.
    """
    import ray.exceptions
    from ray.air.execution._internal import actor_manager
    from ray.tune.execution import tune_controller

    whole = ray.exceptions.RayActorError
    for module in (actor_manager, tune_controller):
        module.RayActorError = (whole, ray.exceptions.OutOfMemoryError)  # all that they do with it is isinstance
    try:
        yield
    finally:
        for module in (actor_manager, tune_controller):
            module.RayActorError = whole


def error_of_trial(trial: Any) -> Exception | None:
    """The exception that Tune has kept of a failed trial."""
    if trial.pickled_error_file is None:
        return None
    import ray.cloudpickle as cloudpickle

    with open(trial.pickled_error_file, "rb") as file:
        error: Exception = cloudpickle.load(file)
    return error


def reason_of_trial(trial: Any, error: Exception | None) -> str:
    """What Ray says about a failed trial's process, without its identifiers (lines with a tab) and its advice.

    Args:
        error: of `error_of_trial`. None: the memory monitor has killed the process, and Tune has kept the text alone.
    """
    if error is None and trial.error_file is not None:
        lines = Path(trial.error_file).read_text("utf-8").splitlines()
        return next((line for line in lines if "low on memory" in line), lines[-1] if lines else "no reason is known")
    said = [line.strip() for line in str(error or "").splitlines() if line.strip() and not line.startswith("\t")]
    return said[-1].partition(" Some common causes")[0] if said else "Ray does not say why"


@dataclass(frozen=True)
class LivingNode:
    """One node that the head counts as alive."""

    host: str
    resources: Mapping[str, float]  # CPU, GPU, ...


class NodeTable:
    """Reads which nodes a cluster has, without becoming one more driver of it as `ray.init` would.

    Args:
        address: `ip:port` of the head.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._client: Any = None

    def read_living(self) -> list[LivingNode]:
        """The nodes that are alive now; none while the head does not answer."""
        import ray._raylet
        from ray.exceptions import RpcError

        try:
            self._client = self._client or ray._raylet.GcsClient(address=self._address)
            found = self._client.get_all_node_info(timeout=2.0).values()
        except (RpcError, RuntimeError):  # a later call answers; if the head is gone, its `ray start` ends
            return []
        return [LivingNode(node.node_manager_hostname, node.resources_total) for node in found if node.state == 0]


@dataclass(frozen=True)
class RayUpFiles:
    """What `ray up` of one cluster leaves on the launching machine and on the head.

    Args:
        sockets: folder of its ssh connections, in the folder of all clusters of the user.
        config: the cluster's file as the head received it.
        key: the private key that the head received.
        state, lock: what the launching machine knows of the cluster.
    """

    sockets: Path
    config: Path
    key: Path
    state: Path
    lock: Path


def ray_up_files(cluster: str) -> RayUpFiles:
    """The files of `ray up` for the cluster of that name and this user."""
    user, name = (hashlib.sha256(text.encode()).hexdigest()[:10] for text in (getpass.getuser(), cluster))
    temporary = Path(os.environ.get("RAY_TMPDIR", "/tmp")) / "ray"
    return RayUpFiles(
        sockets=Path(f"/tmp/ray_ssh_{user}") / name,
        config=Path.home() / "ray_bootstrap_config.yaml",
        key=Path.home() / "ray_bootstrap_key.pem",
        state=temporary / f"cluster-{cluster}.state",
        lock=temporary / f"cluster-{cluster}.lock",
    )
