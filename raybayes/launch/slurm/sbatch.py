"""The batch script of a Slurm job: one pure function of a cluster file."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from raybayes._version import __version__
from raybayes.launch.config.cluster_spec import SlurmCluster


def sbatch_text(cluster: SlurmCluster, folder: Path, workdir: Path, command: Sequence[str] = ()) -> str:
    """The batch script that `sbatch` receives.

    Args:
        cluster: the cluster file.
        folder: the job's own folder on the shared disk.
        workdir: the folder in which the command runs, from which it was submitted.
        command: arguments of raybayes that run once all nodes have joined; none: keep the cluster until `down`.
    """
    return "\n".join(
        [
            "#!/bin/bash",
            *(f"#SBATCH {option}" for option in _options(cluster, folder, workdir)),
            f"# Written by raybayes {__version__}. Starts Ray on {cluster.ray_nodes} node(s)"
            + (" and runs one command on them." if command else "."),
            "set -e",
            "umask 077",
            *(f"export {name}={shlex.quote(value)}" for name, value in sorted(cluster.environment.items())),
            *cluster.setup,
            f"[ -r {shlex.quote(str(folder / 'token'))} ] || "
            f'{{ echo "$(hostname): {folder} is not shared with this node" >&2; exit 3; }}',
            "exec " + shlex.join(_batch_command(cluster, folder, command)),
            "",
        ]
    )


def _options(cluster: SlurmCluster, folder: Path, workdir: Path) -> list[str]:
    gpus = f"{cluster.gpu_type}:{cluster.gpus_per_node}" if cluster.gpu_type else str(cluster.gpus_per_node)
    given = {
        "job-name": cluster.name,
        "partition": cluster.partition,
        "account": cluster.account,
        "qos": cluster.qos,
        "nodes": cluster.nodes,
        "ntasks-per-node": cluster.tasks_per_node,
        "cpus-per-task": cluster.cpus_per_task,
        "gres": f"gpu:{gpus}" if cluster.gpus_per_node else None,
        "mem": cluster.memory,
        "time": cluster.time,
        "signal": f"B:USR1@{cluster.signal_lead_s}",
        "chdir": workdir,
        "output": folder / "logs" / "job.log",
        "open-mode": "append",
    }
    options = [f"--{name}={value}" for name, value in given.items() if value is not None]
    return [*options, "--requeue", *cluster.extra]


def _batch_command(cluster: SlurmCluster, folder: Path, command: Sequence[str]) -> list[str]:
    """The batch program: every decision is made there, in Python, and not in the shell."""
    program = [cluster.python, "-m", "raybayes.launch.batch", "--folder", str(folder)]
    program += ["--requeues", str(cluster.requeues), "--join-timeout-s", f"{cluster.join_timeout_s:g}"]
    program += ["--node", shlex.join(node_options(cluster, folder))]
    return [*program, "--", *command] if command else program


def node_options(cluster: SlurmCluster, folder: Path) -> list[str]:
    """Arguments of the node program on every node of the job."""
    options = ["--slurm", "--folder", str(folder), "--scratch", cluster.scratch]
    options += ["--ports", *map(str, cluster.ports), "--cpus", str(cluster.cpus_per_task)]
    options += ["--join-timeout-s", f"{cluster.join_timeout_s:g}"]
    if not cluster.gpus_per_node:
        options += ["--gpus", "0"]  # otherwise the node counts what Slurm allocated
    for name, value in (
        ("--interface", cluster.interface),
        ("--object-store-mb", cluster.object_store_mb),
        ("--results", cluster.results),
    ):
        options += [name, str(value)] if value is not None else []
    return options
