"""Every file of a running cluster, in its folder on the shared disk. Nobody else builds a path.

The folder is the meeting place: the head writes its address into it, workers and `raybayes cluster` read it. Files
appear whole (a temporary name, then a rename), are readable by their owner alone, and carry no secret but `token`.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raybayes.errors import ClusterError


@dataclass(frozen=True)
class Head:
    """Where a cluster can be reached."""

    id: str  # of this incarnation of the cluster
    host: str
    ip: str
    port: int
    dashboard_port: int
    python: str
    ray: str

    @property
    def address(self) -> str:
        """For RAY_ADDRESS."""
        return f"{self.ip}:{self.port}"

    @property
    def dashboard(self) -> str:
        """For a browser and for the jobs API; both need the token."""
        return f"http://{self.ip}:{self.dashboard_port}"


@dataclass(frozen=True)
class Joined:
    """Which nodes are alive, as the head last saw them."""

    updated: float  # Unix epoch
    hosts: tuple[str, ...]
    cpus: float
    gpus: float


@dataclass(frozen=True)
class ClusterFolder:
    """The folder of one cluster."""

    path: Path

    @property
    def token(self) -> Path:
        """What every process of the cluster must know."""
        return self.path / "token"

    @property
    def record(self) -> Path:
        """What was started, by whom: job id or process."""
        return self.path / "cluster.json"

    @property
    def head(self) -> Path:
        """The address."""
        return self.path / "head.json"

    @property
    def joined(self) -> Path:
        """The nodes that the head sees."""
        return self.path / "joined.json"

    @property
    def stop(self) -> Path:
        """Exists when all nodes are to end: batch systems pass signals on in ways of their own, a file is plain."""
        return self.path / "stop"

    @property
    def result(self) -> Path:
        """How a submitted command ended."""
        return self.path / "result.json"

    @property
    def continued(self) -> Path:
        """Exists once a submitted sweep was interrupted by the wall time and has to go on."""
        return self.path / "continued"

    @property
    def script(self) -> Path:
        """What sbatch was given."""
        return self.path / "job.sbatch"

    @property
    def logs(self) -> Path:
        """One file a process."""
        return self.path / "logs"

    @property
    def output(self) -> Path:
        """What the batch job prints."""
        return self.logs / "job.log"

    def node(self, index: int, host: str) -> Path:
        """What one node's supervisor is."""
        return self.path / f"node-{index}-{host}.json"

    def node_log(self, index: int, host: str) -> Path:
        """What one node prints."""
        return self.logs / f"node-{index}-{host}.log"

    def nodes(self) -> list[dict[str, Any]]:
        """The records of all supervisors that have not ended."""
        found = (read_json(path) for path in sorted(self.path.glob("node-*.json")))
        return [record for record in found if record is not None]

    def refuse(self, host: str, reason: str) -> None:
        """Note why a node of the cluster cannot join, for those who wait for it."""
        if self.path.is_dir():
            write_text(self.path / f"refused-{host}", reason)

    def refusals(self) -> list[str]:
        """Why nodes cannot join, a sentence each."""
        return [f"{path.name[8:]}: {path.read_text('utf-8')}" for path in sorted(self.path.glob("refused-*"))]

    def clear(self) -> None:
        """Remove what an earlier start of the same cluster said of itself."""
        for path in (self.head, self.joined, self.stop, *self.path.glob("refused-*")):
            path.unlink(missing_ok=True)

    def create(self) -> None:
        """Make the folder, closed to others, with a new token."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self.path.chmod(0o700)
            self.logs.mkdir(exist_ok=True)
        except OSError as error:
            raise ClusterError(
                f"{self.path}: cannot be made ({error.strerror}); `shared` must be a folder that you can write, and "
                "that all nodes see."
            ) from None
        write_text(self.token, secrets.token_hex(32))

    def forget(self) -> None:
        """Remove what names a running cluster; logs and results stay."""
        self.clear()
        for path in (self.record, self.token, *self.path.glob("node-*.json")):
            path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove all of it."""
        shutil.rmtree(self.path, ignore_errors=True)

    def read_head(self) -> Head | None:
        """The address, once the head is up."""
        found = read_json(self.head)
        return None if found is None else Head(**found)

    def read_joined(self) -> Joined | None:
        """The nodes, once the head is up."""
        found = read_json(self.joined)
        return None if found is None else Joined(**{**found, "hosts": tuple(found["hosts"])})

    def authenticate(self, environment: dict[str, str] | None = None) -> None:
        """Let a process (this one, if no environment is given) present the cluster's token. Before ray is imported."""
        target = os.environ if environment is None else environment
        target["RAY_AUTH_MODE"], target["RAY_AUTH_TOKEN_PATH"] = "token", str(self.token)


def write_text(path: Path, text: str) -> None:
    """Write a file that appears whole and that only its owner can read."""
    part = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(3)}")
    part.touch(mode=0o600)
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def write_json(path: Path, value: Any) -> None:
    """`write_text` for a record."""
    write_text(path, json.dumps(value, indent=1))


def read_json(path: Path) -> Any:
    """What a file holds; None if it is not there (yet)."""
    with contextlib.suppress(OSError):
        os.listdir(path.parent)  # NFS remembers for a minute that a file was not there, until its folder is listed
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ClusterError(f"{path}: cannot be read ({error}).") from None
