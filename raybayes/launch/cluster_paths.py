"""Every file of a running cluster, in its folder on the shared disk. No other module builds such a path.

The folder is where the parts of a cluster meet: the head writes its address there, workers and `raybayes cluster` read
it. Files appear whole (a temporary name, then a rename), only their owner can read them, and only `token` is a secret.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import MutableMapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from raybayes.errors import ClusterError


@dataclass(frozen=True)
class Head:
    """Where a cluster can be reached."""

    id: str  # of this start of the cluster
    host: str
    ip: str
    port: int
    dashboard_port: int
    python: str
    ray: str

    @property
    def address(self) -> str:
        """The value of RAY_ADDRESS."""
        return f"{self.ip}:{self.port}"

    @property
    def dashboard(self) -> str:
        """The URL of the dashboard and of the jobs API; both require the token."""
        return f"http://{self.ip}:{self.dashboard_port}"


@dataclass(frozen=True)
class Joined:
    """The nodes that were alive when the head last looked."""

    updated: float  # Unix epoch
    hosts: tuple[str, ...]
    cpus: float
    gpus: float


@dataclass(frozen=True)
class NodeRecord:
    """One node of a cluster, as long as its processes or its files exist.

    Args:
        host: name of the machine.
        pid, born: the supervisor process and its start time (Unix epoch): process numbers are used again.
        reaper: number and start time of the process that cleans up after the supervisor.
        mark: the value of `processes.MARK_VARIABLE` in the environment of each process of the node.
        scratch: private temporary folder.
        ports: first port and number of ports.
        head: whether it is the head.
    """

    host: str
    pid: int
    born: float
    reaper: tuple[int, float]
    mark: str
    scratch: str
    ports: tuple[int, int]
    head: bool

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> NodeRecord:
        """The record that a node's file holds."""
        values = _patch_node_record(found)
        return cls(**{**values, "reaper": tuple(values["reaper"]), "ports": tuple(values["ports"])})


def _patch_node_record(found: dict[str, Any]) -> dict[str, Any]:
    """Nodes started by raybayes 0.1 call the reaper `janitor`; they may still run after an upgrade."""
    return {("reaper" if key == "janitor" else key): value for key, value in found.items()}


@dataclass(frozen=True)
class ClusterFolder:
    """The folder of one cluster."""

    path: Path

    @property
    def token(self) -> Path:
        """The secret that every process of the cluster must present."""
        return self.path / "token"

    @property
    def record(self) -> Path:
        """What `up` or `submit` started: job id, process or hosts."""
        return self.path / "cluster.json"

    @property
    def head(self) -> Path:
        """The head's address."""
        return self.path / "head.json"

    @property
    def joined(self) -> Path:
        """The nodes that the head sees."""
        return self.path / "joined.json"

    @property
    def stop(self) -> Path:
        """Exists when all nodes must end. Each batch system delivers signals differently; a file works on all."""
        return self.path / "stop"

    @property
    def result(self) -> Path:
        """How a submitted command ended."""
        return self.path / "result.json"

    @property
    def continued(self) -> Path:
        """Exists once the wall time has interrupted a submitted sweep, which must then be resumed."""
        return self.path / "continued"

    @property
    def losses(self) -> Path:
        """How many times in a row the cluster of a submitted command was lost."""
        return self.path / "losses.json"

    @property
    def script(self) -> Path:
        """The batch script that sbatch received."""
        return self.path / "job.sbatch"

    @property
    def logs(self) -> Path:
        """A folder with one file per process."""
        return self.path / "logs"

    @property
    def output(self) -> Path:
        """What the batch job prints."""
        return self.logs / "job.log"

    def node(self, index: int, host: str) -> Path:
        """The file of a node's record."""
        return self.path / f"node-{index}-{host}.json"

    def node_log(self, index: int, host: str) -> Path:
        """What Ray prints on a node."""
        return self.logs / f"node-{index}-{host}.log"

    def read_node(self, index: int, host: str) -> NodeRecord | None:
        """The record of one node; None if the node has not started or has ended."""
        found = read_json(self.node(index, host))
        return None if found is None else NodeRecord.from_json(found)

    def read_nodes(self) -> list[NodeRecord]:
        """The records of all nodes that have not ended."""
        found = (read_json(path) for path in sorted(self.path.glob("node-*.json")))
        return [NodeRecord.from_json(record) for record in found if record is not None]

    def write_refusal(self, host: str, reason: str) -> None:
        """Write why a node cannot join, for the process that waits for it."""
        if self.path.is_dir():
            write_text(self.path / f"refused-{host}", reason)

    def read_refusals(self) -> list[str]:
        """Why nodes cannot join, one sentence per node."""
        return [f"{path.name[8:]}: {path.read_text('utf-8')}" for path in sorted(self.path.glob("refused-*"))]

    def create(self) -> None:
        """Make the folder, closed to other users, with a new token.

        Raises:
            ClusterError: the folder cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self.path.chmod(0o700)
            self.logs.mkdir(exist_ok=True)
        except OSError as error:
            raise ClusterError(
                f"{self.path}: cannot be created ({error.strerror}); `shared` must be a folder that you can write and "
                "that all nodes see."
            ) from None
        write_text(self.token, secrets.token_hex(32))

    def clear_start(self) -> None:
        """Remove the address, the members, the refusals and the stop file of an earlier start."""
        for path in (self.head, self.joined, self.stop, *self.path.glob("refused-*")):
            path.unlink(missing_ok=True)

    def clear_cluster(self) -> None:
        """Remove everything that names a running cluster; logs and results stay."""
        self.clear_start()
        for path in (self.record, self.token, *self.path.glob("node-*.json")):
            path.unlink(missing_ok=True)

    def read_head(self) -> Head | None:
        """The head's address, once the head is up."""
        found = read_json(self.head)
        return None if found is None else Head(**found)

    def read_joined(self) -> Joined | None:
        """The nodes that have joined, once the head is up."""
        found = read_json(self.joined)
        return None if found is None else Joined(**{**found, "hosts": tuple(found["hosts"])})

    def set_token_variables(self, environment: MutableMapping[str, str]) -> None:
        """Make a process present the cluster's token. Ray reads these variables when it is imported."""
        environment["RAY_AUTH_MODE"], environment["RAY_AUTH_TOKEN_PATH"] = "token", str(self.token)


def write_text(path: Path, text: str) -> None:
    """Write a file that appears whole and that only its owner can read."""
    part = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(3)}")
    part.touch(mode=0o600)
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def write_json(path: Path, value: Any) -> None:
    """`write_text` for a dataclass, or for anything that JSON has."""
    fields = asdict(value) if hasattr(value, "__dataclass_fields__") else value
    write_text(path, json.dumps(fields, indent=1))


def read_json(path: Path) -> Any:
    """The value that a file holds; None if the file does not exist (yet).

    Raises:
        ClusterError: the file is no JSON, or cannot be read.
    """
    with contextlib.suppress(OSError):
        os.listdir(path.parent)  # NFS remembers for a minute that a file was absent, until its folder is listed
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ClusterError(f"{path}: cannot be read ({error}).") from None
