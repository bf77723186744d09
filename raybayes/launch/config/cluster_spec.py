"""Cluster files: the two kinds of raybayes (`local`, `slurm`), `ray up` files, and RayCluster manifests."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from raybayes.errors import SpecError
from raybayes.launch.config.hosts_file import ClusterName, HostsFile
from raybayes.launch.config.manifest import RayClusterManifest
from raybayes.spec.validation import Frozen, build
from raybayes.spec.yaml_files import read_yaml


class _Cluster(Frozen):
    """The keys of every cluster file of raybayes."""

    name: ClusterName = Field(description="name of the cluster, of its folder in `shared` and of its job")
    shared: str = Field("~/.raybayes", description="shared folder for token, addresses and logs; only you can read it")
    results: str | None = Field(
        None,
        description="storage of sweeps without --storage; default: runs/ in the folder of `submit`",
    )
    scratch: str = Field("/tmp", description="folder on each node for Ray's sockets and logs; a short path")
    ports: tuple[int, int] = Field((20000, 30000), description="first and last port that the cluster may use")
    interface: str | None = Field(None, description="network interface of the nodes; default: the one to the head")
    python: str = Field(sys.executable, description="absolute path of the interpreter on the nodes")
    environment: dict[str, str] = Field(default_factory=dict, description="variables of every process on the nodes")
    object_store_mb: int | None = Field(
        None, ge=80, description="size of the object store per node; default: Ray decides"
    )
    join_timeout_s: float = Field(300, gt=0, description="seconds within which all nodes must join")

    @field_validator("ports")
    @classmethod
    def _usable_ports(cls, value: tuple[int, int]) -> tuple[int, int]:
        if not 1024 <= value[0] < value[1] <= 65535:
            raise ValueError("write [first, last] between 1024 and 65535")
        return value

    @field_validator("python")
    @classmethod
    def _absolute_python(cls, value: str) -> str:
        if not Path(value).is_absolute():
            raise ValueError("write the absolute path of the interpreter; a node's PATH may differ from yours")
        return value

    @property
    def folder(self) -> Path:
        """The folder of the cluster's token, addresses and logs."""
        return Path(self.shared).expanduser().absolute() / self.name


class LocalCluster(_Cluster):
    """This machine."""

    kind: Literal["local"]
    cpus: int | None = Field(None, ge=1, description="CPU cores for Ray; default: all that this process may use")
    gpus: int | None = Field(None, ge=0, description="GPUs for Ray; default: all that are visible")


class SlurmCluster(_Cluster):
    """Nodes that Slurm allocates until the wall time."""

    kind: Literal["slurm"]
    partition: str | None = Field(None, description="default: Slurm's default partition")
    account: str | None = Field(None, description="account that pays; default: your default account")
    qos: str | None = Field(None, description="quality of service; default: your default")
    nodes: int = Field(1, ge=1, description="number of machines")
    tasks_per_node: int = Field(1, ge=1, description="Ray nodes on each machine")
    cpus_per_task: int = Field(1, ge=1, description="CPU cores of each Ray node")
    gpus_per_node: int = Field(0, ge=0, description="GPUs of each machine")
    gpu_type: str | None = Field(None, description="type of GPU as Slurm names it, e.g. v100")
    memory: str | None = Field(None, description="memory of each machine, e.g. 64G; default: the partition's default")
    time: str = Field(description="wall time: minutes, HH:MM:SS or D-HH:MM:SS")
    signal_lead_s: int = Field(180, ge=10, description="seconds before the wall time at which a sweep is paused")
    setup: tuple[str, ...] = Field((), description="shell lines that run first: module load, source, conda activate")
    extra: tuple[str, ...] = Field((), description="further sbatch options, e.g. --exclusive")
    pending_timeout_s: float = Field(3600, gt=0, description="seconds that `up` waits while the job is pending")
    requeues: int = Field(100, ge=0, description="number of times that a submitted sweep is requeued")

    @field_validator("time", mode="before")
    @classmethod
    def _as_text(cls, value: object) -> object:
        return str(value) if isinstance(value, int) else value

    @field_validator("time")
    @classmethod
    def _readable_time(cls, value: str) -> str:
        parse_time(value)
        return value

    @field_validator("memory")
    @classmethod
    def _readable_memory(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"\d+[KMGT]?", value):
            raise ValueError("write a number with K, M, G or T, e.g. 64G")
        return value

    @field_validator("extra")
    @classmethod
    def _options_only(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for line in value:
            if not line.startswith("-") or "\n" in line:
                raise ValueError(f"{line!r} is not an sbatch option; write options as --option=value")
        return value

    @model_validator(mode="after")
    def _time_to_end(self) -> SlurmCluster:
        if self.signal_lead_s >= parse_time(self.time):
            raise ValueError(
                f"signal_lead_s: {self.signal_lead_s} s must be shorter than the wall time of {self.time}; use a "
                "smaller value"
            )
        return self

    @property
    def ray_nodes(self) -> int:
        """Number of Ray nodes that join."""
        return self.nodes * self.tasks_per_node


def parse_time(time: str) -> int:
    """Seconds of a time in Slurm's notation: `90` (minutes), `01:30:00`, `1-12:00:00`, `30:00`.

    Raises:
        ValueError: the text is in none of these forms.
    """
    match = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", time)
    if match is None:
        raise ValueError("write minutes, HH:MM:SS or D-HH:MM:SS")
    days, *parts = match.groups()
    given = [int(part) for part in parts if part is not None]
    if days is not None:
        units = [3600, 60, 1]
        return int(days) * 86400 + sum(value * unit for value, unit in zip(given, units, strict=False))
    units = {1: [60], 2: [60, 1], 3: [3600, 60, 1]}[len(given)]
    return sum(value * unit for value, unit in zip(given, units, strict=True))


ClusterSpec = LocalCluster | SlurmCluster | HostsFile | RayClusterManifest
_KINDS: dict[object, type[LocalCluster | SlurmCluster]] = {"local": LocalCluster, "slurm": SlurmCluster}


def read_cluster(path: str) -> ClusterSpec:
    """Read and validate a cluster file.

    Raises:
        SpecError: with file and line: invalid YAML, an unknown kind, an unknown or missing key, a wrong value.
    """
    values, lines = read_yaml(path)
    if "provider" in values:
        return build(HostsFile, values, path, lines)
    if "apiVersion" in values:
        return build(RayClusterManifest, values, path, lines)
    kind = values.get("kind")
    if kind not in _KINDS:
        place = f"{path}:{lines['kind']}" if "kind" in lines else path
        allowed = " or ".join(f"kind: {name}" for name in _KINDS)
        raise SpecError(
            f"{place}: found kind {kind!r}; write {allowed}. (A `ray up` file is recognised by its provider, a "
            "Kubernetes manifest by its apiVersion.)"
        )
    return build(_KINDS[kind], values, path, lines)
