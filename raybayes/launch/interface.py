"""What every kind of cluster can do. `registry.launcher_for` picks the launcher of a cluster file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from raybayes.errors import ClusterError
from raybayes.launch.cluster_paths import ClusterFolder, Head
from raybayes.launch.node.checks import Finding

Say = Callable[[str], None]


@dataclass(frozen=True)
class Status:
    """The state of a cluster.

    Args:
        state: down, pending, starting, up, or lost.
        detail: one sentence more: the job, Slurm's reason, the missing node.
        hosts: nodes that have joined.
        wanted: number of nodes that the cluster file asks for.
        cpus, gpus: total of the nodes that have joined.
        head: where the cluster can be reached, if it is up.
    """

    state: str
    detail: str = ""
    hosts: tuple[str, ...] = ()
    wanted: int = 0
    cpus: float = 0.0
    gpus: float = 0.0
    head: Head | None = None


class Launcher(Protocol):
    """One kind of cluster."""

    folder: ClusterFolder

    def check(self) -> list[Finding]:
        """Check everything that can be checked from this machine; starts nothing."""
        ...

    def render(self) -> str:
        """The exact text or command that `up` uses."""
        ...

    def up(self, say: Say) -> Status:
        """Start the cluster and wait until all nodes have joined.

        Args:
            say: receives one sentence per step.

        Raises:
            ClusterError: it cannot start, or only some nodes joined; then everything that was started is ended.
        """
        ...

    def status(self) -> Status:
        """The state of the cluster now."""
        ...

    def down(self, say: Say) -> list[str]:
        """End what `up` started, and nothing else. Returns what could not be ended, one sentence each."""
        ...


def require_down(status: Status, name: str) -> None:
    """Raise ClusterError if the cluster runs: two clusters of one name would share a folder."""
    if status.state not in ("down", "lost"):
        raise ClusterError(
            f"{name} is already {status.state} ({status.detail}); end it with raybayes cluster down, or give the file "
            "another name."
        )


def require_no_refusals(folder: ClusterFolder) -> None:
    """Raise ClusterError with the reasons for which nodes cannot join, if there are any."""
    if refusals := folder.read_refusals():
        raise ClusterError(f"a node cannot join. {' '.join(refusals)}")


def missing_nodes_error(folder: ClusterFolder, joined: tuple[str, ...], wanted: int, timeout_s: float) -> ClusterError:
    """The error for a cluster of which only some nodes joined within `timeout_s`."""
    absent = sorted({record.host for record in folder.read_nodes()} - set(joined))
    hint = f"started but not joined: {', '.join(absent)}" if absent else "the others were never started"
    lines = [line for path in sorted(folder.logs.glob("node-*.log")) for line in _error_lines(path.read_text("utf-8"))]
    last = f" Ray's last error: {lines[-1]}" if lines else ""
    return ClusterError(
        f"only {len(joined)} of {wanted} nodes joined within {timeout_s:g} s ({', '.join(joined) or 'none'}); {hint}. "
        f"Logs: {folder.logs}.{last}"
    )


def _error_lines(log: str) -> list[str]:
    return [line.strip() for line in log.splitlines() if "Error" in line or "Invalid" in line]
