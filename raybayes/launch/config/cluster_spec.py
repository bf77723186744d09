"""What a cluster file says: our own two kinds (`local`, `slurm`), a `ray up` file, or a RayCluster manifest."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from raybayes.errors import SpecError
from raybayes.launch.config.hosts_file import HostsFile
from raybayes.launch.config.manifest import RayClusterManifest
from raybayes.spec.validation import Frozen, build
from raybayes.spec.yaml_files import read_yaml

_NAME = r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}"


class _Cluster(Frozen):
    """What every cluster of our own has."""

    name: str = Field(description="name of the cluster: its folder below `shared`, and its job's name")
    shared: str = Field("~/.raybayes", description="folder that all nodes see: token, addresses, logs; yours alone")
    results: str | None = Field(
        None, description="storage of sweeps on this cluster when --storage is not given; none: runs/ where you submit"
    )
    scratch: str = Field("/tmp", description="folder on each node for Ray's sockets and logs; short")
    ports: tuple[int, int] = Field((20000, 30000), description="first and last port that the cluster may use")
    interface: str | None = Field(None, description="network interface between the nodes; none: the route's own")
    python: str = Field(sys.executable, description="interpreter on the nodes, absolute")
    environment: dict[str, str] = Field(default_factory=dict, description="variables for every process of the nodes")
    object_store_mb: int | None = Field(None, ge=80, description="Ray's object store on each node; none: Ray decides")
    join_timeout_s: float = Field(300, gt=0, description="seconds that all nodes have to join")

    @field_validator("name")
    @classmethod
    def _plain_name(cls, value: str) -> str:
        if not re.fullmatch(_NAME, value):
            raise ValueError("a name has letters, digits, '_' and '-' only, at most 40, and no '-' in front")
        return value

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
            raise ValueError("the PATH of a node is not yours, so write the absolute path of the interpreter")
        return value

    @property
    def folder(self) -> Path:
        """Where the cluster keeps its token, addresses and logs."""
        return Path(self.shared).expanduser().absolute() / self.name


class LocalCluster(_Cluster):
    """This machine."""

    kind: Literal["local"]
    cpus: int | None = Field(None, ge=1, description="CPU cores for Ray; none: all that this process may use")
    gpus: int | None = Field(None, ge=0, description="GPUs for Ray; none: all that are visible")


class SlurmCluster(_Cluster):
    """Nodes that Slurm gives for a time."""

    kind: Literal["slurm"]
    partition: str | None = Field(None, description="none: Slurm's default partition")
    account: str | None = Field(None, description="none: your default account")
    qos: str | None = Field(None, description="quality of service; none: your default")
    nodes: int = Field(1, ge=1, description="machines")
    tasks_per_node: int = Field(1, ge=1, description="Ray nodes on each machine")
    cpus_per_task: int = Field(1, ge=1, description="CPU cores of each Ray node")
    gpus_per_node: int = Field(0, ge=0, description="GPUs of each machine")
    gpu_type: str | None = Field(None, description="as Slurm names it, e.g. v100")
    memory: str | None = Field(None, description="memory of each machine, e.g. 64G; none: the partition's default")
    time: str = Field(description="wall time: minutes, HH:MM:SS or D-HH:MM:SS")
    signal_lead_s: int = Field(180, ge=10, description="seconds before the wall time at which a sweep ends its burst")
    setup: tuple[str, ...] = Field((), description="shell lines before all else: module load, source, conda activate")
    extra: tuple[str, ...] = Field((), description="more sbatch options, e.g. --exclusive")
    pending_timeout_s: float = Field(3600, gt=0, description="seconds that `up` waits in the queue")
    requeues: int = Field(100, ge=0, description="times that a submitted sweep goes back into the queue")

    @field_validator("time", mode="before")
    @classmethod
    def _as_text(cls, value: object) -> object:
        return str(value) if isinstance(value, int) else value

    @field_validator("time")
    @classmethod
    def _readable_time(cls, value: str) -> str:
        seconds(value)
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
                raise ValueError(f"{line!r} is no sbatch option; write them as --option=value")
        return value

    @model_validator(mode="after")
    def _time_to_end(self) -> SlurmCluster:
        if self.signal_lead_s >= seconds(self.time):
            raise ValueError(
                f"signal_lead_s: {self.signal_lead_s} s before the wall time of {self.time} is before the start; "
                "make it shorter"
            )
        return self

    @property
    def ray_nodes(self) -> int:
        """How many Ray nodes join."""
        return self.nodes * self.tasks_per_node


def seconds(time: str) -> int:
    """Slurm's notation of a time in seconds: `90` (minutes), `01:30:00`, `1-12:00:00`, `30:00`."""
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


def read_cluster(path: str) -> ClusterSpec:
    """The cluster that a YAML file describes.

    Raises:
        SpecError: with file and line: no YAML, no kind that we know, an unknown or missing key, a wrong value.
    """
    values, lines = read_yaml(path)
    if "provider" in values:
        return build(HostsFile, values, path, lines)
    if "apiVersion" in values:
        return build(RayClusterManifest, values, path, lines)
    kind = values.get("kind")
    if kind not in ("local", "slurm"):
        place = f"{path}:{lines['kind']}" if "kind" in lines else path
        raise SpecError(
            f"{place}: found kind {kind!r}; write kind: local or kind: slurm. (A `ray up` file is known by its "
            "provider, a Kubernetes manifest by its apiVersion.)"
        )
    if kind == "local":
        return build(LocalCluster, values, path, lines)
    return build(SlurmCluster, values, path, lines)
