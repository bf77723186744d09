"""Checks a Slurm file against its partition: does it exist, and could it ever meet the request?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from raybayes.launch.config.cluster_spec import SlurmCluster, parse_time
from raybayes.launch.node.checks import Finding
from raybayes.launch.slurm.commands import run_slurm

_UNLIMITED = ("infinite", "n/a", "UNLIMITED")


@dataclass(frozen=True)
class NodeGroup:
    """Equal nodes of a partition, as sinfo shows them in one row.

    Args:
        partition: its name.
        default: whether it is Slurm's default partition.
        nodes: number of nodes.
        cpus: per node.
        memory_mb: per node.
        gpus: sinfo's text, e.g. `gpu:v100:4(S:0-1),lscratch:100`.
        time_limit: in Slurm's notation.
    """

    partition: str
    default: bool
    nodes: int
    cpus: int
    memory_mb: int
    gpus: str
    time_limit: str

    def __str__(self) -> str:
        return f"{self.nodes} nodes with {self.cpus} CPUs, {self.memory_mb} MB, GPUs {self.gpus}"

    def count_gpus(self, gpu_type: str | None) -> int:
        """GPUs per node, of one type if it is given."""
        prefix = f"gpu:{gpu_type}:" if gpu_type else "gpu:"
        counts = [part.partition("(")[0].rsplit(":", 1)[1] for part in self.gpus.split(",") if part.startswith(prefix)]
        return sum(int(count) for count in counts if count.isdigit())


def check_partition(spec: SlurmCluster) -> list[Finding]:
    """Whether the partition exists and could ever meet the request; Slurm itself may let a job wait forever."""
    groups = _read_groups()
    names = sorted({group.partition for group in groups})
    wanted = spec.partition or next((group.partition for group in groups if group.default), None)
    if wanted is None:
        return [Finding("error", f"partition: Slurm has no default partition; set one of {', '.join(names)}.")]
    groups = [group for group in groups if group.partition == wanted]
    if not groups:
        return [Finding("error", f"unknown partition {wanted!r}; valid partitions: {', '.join(names) or 'none'}.")]
    shown = ", ".join(map(str, groups))
    checks = (_cpu_problem, _memory_problem, _gpu_problem, _count_problem, _time_problem)
    problems = [problem for check in checks if (problem := check(spec, groups))]
    if problems:
        return [Finding("error", f"partition {wanted}: {problem}; it has {shown}.") for problem in problems]
    return [Finding("ok", f"partition {wanted}: {shown}")]


def _read_groups() -> list[NodeGroup]:
    # partition (a star marks the default), nodes, CPUs and memory of a node, GPUs, time limit
    lines = run_slurm("sinfo", "--noheader", "--format", "%P|%D|%c|%m|%G|%l").splitlines()
    rows = [line.split("|") for line in lines]
    return [
        NodeGroup(name.rstrip("*"), name.endswith("*"), _number(nodes), _number(cpus), _number(memory), gpus, limit)
        for name, nodes, cpus, memory, gpus, limit in rows
    ]


def _number(text: str) -> int:
    """The digits of a number that sinfo may decorate: `190000+` is 190000."""
    return int("".join(character for character in text if character.isdigit()) or 0)


def _cpu_problem(spec: SlurmCluster, groups: Sequence[NodeGroup]) -> str | None:
    need = spec.tasks_per_node * spec.cpus_per_task
    if need > max(group.cpus for group in groups):
        return f"no node has {need} CPUs (tasks_per_node x cpus_per_task)"
    return None


def _memory_problem(spec: SlurmCluster, groups: Sequence[NodeGroup]) -> str | None:
    if spec.memory is None:
        return None
    unit_mb = {"K": 1 / 1024, "M": 1, "G": 1024, "T": 1024**2}.get(spec.memory[-1], 1)
    if _number(spec.memory) * unit_mb > max(group.memory_mb for group in groups):
        return f"no node has {spec.memory} of memory"
    return None


def _gpu_problem(spec: SlurmCluster, groups: Sequence[NodeGroup]) -> str | None:
    if spec.gpus_per_node > max(group.count_gpus(spec.gpu_type) for group in groups):
        return f"no node has {spec.gpus_per_node} GPUs{f' of type {spec.gpu_type}' if spec.gpu_type else ''}"
    return None


def _count_problem(spec: SlurmCluster, groups: Sequence[NodeGroup]) -> str | None:
    total = sum(group.nodes for group in groups)
    return f"it has {total} nodes, but {spec.nodes} are requested" if spec.nodes > total else None


def _time_problem(spec: SlurmCluster, groups: Sequence[NodeGroup]) -> str | None:
    limits = [group.time_limit for group in groups]
    if any(limit in _UNLIMITED for limit in limits):
        return None
    if parse_time(spec.time) > max(parse_time(limit) for limit in limits):
        return f"the time {spec.time} is above its limit of {limits[0]}"
    return None
