"""The launcher of each kind of cluster file."""

from __future__ import annotations

from typing import assert_never

from raybayes.launch.config.cluster_spec import ClusterSpec, LocalCluster, SlurmCluster
from raybayes.launch.config.hosts_file import HostsFile
from raybayes.launch.config.manifest import RayClusterManifest
from raybayes.launch.interface import Launcher
from raybayes.launch.launchers.hosts import HostsLauncher
from raybayes.launch.launchers.kuberay import KubeRayLauncher
from raybayes.launch.launchers.local import LocalLauncher
from raybayes.launch.launchers.slurm import SlurmLauncher


def launcher_for(spec: ClusterSpec, file: str) -> Launcher:
    """The launcher of a cluster file.

    Args:
        spec: what `read_cluster` read from the file.
        file: its path, for commands and messages.
    """
    match spec:
        case LocalCluster():
            return LocalLauncher(spec)
        case SlurmCluster():
            return SlurmLauncher(spec)
        case HostsFile():
            return HostsLauncher(spec, file)
        case RayClusterManifest():
            return KubeRayLauncher(spec, file)
        case _:
            assert_never(spec)
