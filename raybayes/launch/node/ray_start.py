"""The command that starts Ray on one node, and the environment of its processes: pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from raybayes.engine.on_ray.ray_internals import RAY_PROGRAM
from raybayes.engine.on_ray.ray_settings import COMMON_VARIABLES, TRIAL_SLOT
from raybayes.launch.cluster_paths import ClusterFolder
from raybayes.launch.node.network import interface_of
from raybayes.launch.node.ports import PortBlock
from raybayes.launch.node.processes import MARK_VARIABLE

# Ray sets OMP_NUM_THREADS of each worker to the number of its cores; a value inherited from the shell would win.
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")

_PORTS_OF_EVERY_NODE = (
    "node-manager-port",
    "object-manager-port",
    "runtime-env-agent-port",
    "dashboard-agent-grpc-port",
    "dashboard-agent-listen-port",
    "metrics-export-port",
)


@dataclass(frozen=True)
class RayNode:
    """The settings of Ray on one node.

    Args:
        ip: this node's address.
        head: `ip:port` of the head; None on the head itself.
        scratch: the node's private temporary folder.
        block: its ports.
        cpus, gpus: how many Ray may use.
        object_store_mb: size of the object store; None: Ray decides.
        autoscaling_config: the file that `ray up` left on the head.
    """

    ip: str
    head: str | None
    scratch: str
    block: PortBlock
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
    command = [python, *RAY_PROGRAM, "start", *role, f"--node-ip-address={node.ip}"]
    command += [f"--{name}={block.service(name)}" for name in _PORTS_OF_EVERY_NODE]
    command += [f"--min-worker-port={first}", f"--max-worker-port={last}", f"--temp-dir={node.scratch}"]
    command += [f"--num-cpus={node.cpus}", f"--num-gpus={node.gpus}", f'--resources={{"{TRIAL_SLOT}": {node.cpus}}}']
    if node.object_store_mb is not None:
        command.append(f"--object-store-memory={node.object_store_mb * 1024**2}")
    if node.autoscaling_config is not None:
        command.append(f"--autoscaling-config={node.autoscaling_config}")
    return [*command, "--disable-usage-stats", "--block"]


def node_environment(
    inherited: Mapping[str, str], folder: ClusterFolder, node: RayNode, mark: str, python: str, results: str | None
) -> dict[str, str]:
    """The environment variables of every process of a node.

    Args:
        inherited: the environment of the node program.
        mark: identifies the node's processes, see `processes`.
        python: interpreter that runs Ray.
        results: storage of sweeps that name none.
    """
    ip, block = node.ip, node.block
    variables = {name: value for name, value in inherited.items() if name not in (*_THREADS, "RAY_ADDRESS")}
    folder.set_token_variables(variables)
    variables |= {
        **COMMON_VARIABLES,
        MARK_VARIABLE: mark,
        "RAY_TRAIN_ENABLE_STATE_TRACKING": "1",  # runs of several workers, for the dashboard's state interface
        # Two ports that `ray start` has no option for; the heads of two clusters on a machine would share them.
        "AUTOSCALER_METRIC_PORT": str(block.service("autoscaler-metrics")),
        "DASHBOARD_METRIC_PORT": str(block.service("dashboard-metrics")),
        # The first autoscaler: the second one, Ray's default for `ray up`, leaves out workers of a fixed set.
        "RAY_enable_autoscaler_v2": "0",
        # `python` of a submitted entry point is looked up here, and a login shell may not have it.
        "PATH": f"{Path(python).parent}:{inherited.get('PATH', '/usr/bin:/bin')}",
    }
    interface = interface_of(ip)
    if interface is not None:  # the library behind torch.distributed must not pick a management network
        variables.setdefault("GLOO_SOCKET_IFNAME", interface)
        variables.setdefault("NCCL_SOCKET_IFNAME", interface)
    if results is not None:
        variables["RAYBAYES_STORAGE"] = results
    return variables
