"""The command that starts Ray on one node, and its environment: pure functions of what is known there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from raybayes.launch.cluster_paths import ClusterFolder
from raybayes.launch.node.network import interface_of
from raybayes.launch.node.ports import Block
from raybayes.launch.node.processes import MARK

TICKET = "trial_slot"  # admits trials of several workers; see engine/on_ray/connect.py
# Ray sets OMP_NUM_THREADS for each worker to the cores that it was given; a value inherited from the shell would win.
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")

_EVERYWHERE = (
    "node-manager-port",
    "object-manager-port",
    "runtime-env-agent-port",
    "dashboard-agent-grpc-port",
    "dashboard-agent-listen-port",
    "metrics-export-port",
)


@dataclass(frozen=True)
class RayNode:
    """What Ray is told on one node.

    Args:
        ip: this node's address.
        head: `ip:port` of the head; None on the head itself.
        scratch: the node's private temp folder.
        block: its ports.
        cpus, gpus: what Ray may use.
        object_store_mb: size of the object store; None: Ray decides.
        autoscaling_config: the file that `ray up` left on the head.
    """

    ip: str
    head: str | None
    scratch: str
    block: Block
    cpus: int
    gpus: int
    object_store_mb: int | None = None
    autoscaling_config: str | None = None


def start_command(python: str, node: RayNode) -> list[str]:
    """The `ray start` of a node, in the foreground."""
    block = node.block
    if node.head is None:
        role = ["--head", f"--port={block.service('port')}", f"--dashboard-host={node.ip}"]
        role += [f"--{name}={block.service(name)}" for name in ("dashboard-port", "ray-client-server-port")]
    else:
        role = [f"--address={node.head}"]
    first, last = block.workers
    command = [python, "-m", "ray.scripts.scripts", "start", *role, f"--node-ip-address={node.ip}"]
    command += [f"--{name}={block.service(name)}" for name in _EVERYWHERE]
    command += [f"--min-worker-port={first}", f"--max-worker-port={last}", f"--temp-dir={node.scratch}"]
    command += [f"--num-cpus={node.cpus}", f"--num-gpus={node.gpus}", f'--resources={{"{TICKET}": {node.cpus}}}']
    if node.object_store_mb is not None:
        command.append(f"--object-store-memory={node.object_store_mb * 1024**2}")
    if node.autoscaling_config is not None:
        command.append(f"--autoscaling-config={node.autoscaling_config}")
    return [*command, "--disable-usage-stats", "--block"]


def environment(
    given: Mapping[str, str], folder: ClusterFolder, node: RayNode, mark: str, python: str, results: str | None
) -> dict[str, str]:
    """The variables of every process of a node."""
    ip, block = node.ip, node.block
    kept = {name: value for name, value in given.items() if name not in (*_THREADS, "RAY_ADDRESS")}
    folder.authenticate(kept)
    kept |= {
        MARK: mark,
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_killing_policy_by_group": "true",  # without memory one process dies, the newest; never a desk too
        "RAY_TRAIN_ENABLE_STATE_TRACKING": "1",  # runs of several workers, for the dashboard's state interface
        # Two ports that `ray start` has no option for; the heads of two clusters on a machine would share them.
        "AUTOSCALER_METRIC_PORT": str(block.service("autoscaler-metrics")),
        "DASHBOARD_METRIC_PORT": str(block.service("dashboard-metrics")),
        # The first autoscaler: the second one, Ray's default for `ray up`, leaves workers of a fixed set out.
        "RAY_enable_autoscaler_v2": "0",
        # `python` of a submitted entry point is looked up here, and a login shell may not have it.
        "PATH": f"{Path(python).parent}:{given.get('PATH', '/usr/bin:/bin')}",
    }
    interface = interface_of(ip)
    if interface is not None:  # the library behind torch.distributed must not pick a management network
        kept.setdefault("GLOO_SOCKET_IFNAME", interface)
        kept.setdefault("NCCL_SOCKET_IFNAME", interface)
    if results is not None:
        kept["RAYBAYES_STORAGE"] = results
    return kept
