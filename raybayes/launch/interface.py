"""What every kind of cluster can do, and which launcher does it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from raybayes.errors import ClusterError
from raybayes.launch.cluster_paths import ClusterFolder, Head
from raybayes.launch.config.cluster_spec import ClusterSpec, LocalCluster, SlurmCluster
from raybayes.launch.config.hosts_file import HostsFile
from raybayes.launch.node.checks import Finding

Say = Callable[[str], None]


@dataclass(frozen=True)
class Status:
    """How a cluster stands.

    Args:
        state: down, pending, starting, up, or lost.
        detail: one sentence more: the job, Slurm's reason, which node is missing.
        hosts: nodes that have joined.
        wanted: nodes in all.
        head: the address, if it is up.
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
        """Look at what can be seen from here; starts nothing."""
        ...

    def render(self) -> str:
        """The exact text or command that `up` hands over."""
        ...

    def up(self, say: Say) -> Status:
        """Start it and wait until all nodes have joined. Raises ClusterError when only part of them do."""
        ...

    def status(self) -> Status:
        """How it stands now."""
        ...

    def down(self, say: Say) -> list[str]:
        """End what `up` started, and nothing else. Returns what could not be ended."""
        ...


def launcher_for(spec: ClusterSpec, file: str) -> Launcher:
    """The launcher of a cluster file."""
    if isinstance(spec, LocalCluster):
        from raybayes.launch.launchers.local import LocalLauncher

        return LocalLauncher(spec)
    if isinstance(spec, SlurmCluster):
        from raybayes.launch.launchers.slurm import SlurmLauncher

        return SlurmLauncher(spec)
    if isinstance(spec, HostsFile):
        from raybayes.launch.launchers.hosts import HostsLauncher

        return HostsLauncher(spec, file)
    from raybayes.launch.launchers.kuberay import KubeRayLauncher

    return KubeRayLauncher(spec, file)


def refuse_second(status: Status, name: str) -> None:
    """A cluster file names one cluster; two of one name would share a folder."""
    if status.state not in ("down", "lost"):
        raise ClusterError(
            f"{name} is {status.state} already ({status.detail}); end it with raybayes cluster down, or give the file "
            "another name."
        )


def raise_refusals(folder: ClusterFolder) -> None:
    """Raise ClusterError with what nodes say of why they cannot join."""
    if refusals := folder.refusals():
        raise ClusterError(f"a node cannot join. {' '.join(refusals)}")


def missing_nodes(folder: ClusterFolder, joined: tuple[str, ...], wanted: int, waited_s: float) -> ClusterError:
    """The sentence for a cluster of which only part came up."""
    started = sorted(str(record["host"]) for record in folder.nodes())
    absent = sorted(set(started) - set(joined))
    hint = f"started but not joined: {', '.join(absent)}" if absent else "the others were never started"
    lines = [line for path in sorted(folder.logs.glob("node-*.log")) for line in _complaints(path.read_text("utf-8"))]
    said = f" Ray says: {lines[-1]}" if lines else ""
    return ClusterError(
        f"only {len(joined)} of {wanted} nodes joined within {waited_s:g} s ({', '.join(joined) or 'none'}); {hint}. "
        f"Logs: {folder.logs}.{said}"
    )


def _complaints(log: str) -> list[str]:
    return [line.strip() for line in log.splitlines() if "Error" in line or "Invalid" in line]
