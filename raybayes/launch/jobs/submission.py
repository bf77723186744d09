"""Where a submitted command goes: to the running cluster of a file, into Slurm's queue, or to an address."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from raybayes.errors import ClusterError
from raybayes.launch.config.cluster_spec import LocalCluster, SlurmCluster, read_cluster
from raybayes.launch.config.hosts_file import HostsFile
from raybayes.launch.interface import launcher_for
from raybayes.launch.jobs.ray_jobs import JobLine, RayJobs
from raybayes.launch.jobs.remote_command import for_cluster
from raybayes.launch.jobs.slurm_job import SlurmJobs
from raybayes.launch.jobs.working_dir import LIMIT_MB, choose

Say = Callable[[str], None]


class Jobs(Protocol):
    """What both kinds of jobs can do."""

    def follow(self, job: str, write: Callable[[str], Any]) -> int: ...
    def logs(self, job: str) -> str: ...
    def stop(self, job: str) -> bool: ...
    def list(self) -> list[JobLine]: ...


def running(file: str | None) -> RayJobs | None:
    """The jobs API of a cluster file's running cluster, or of RAY_API_SERVER_ADDRESS; None if that file's is not up.

    Raises:
        ClusterError: no file was named, and no address is set.
    """
    if file is None:
        address = os.environ.get("RAY_API_SERVER_ADDRESS")
        if not address:
            raise ClusterError(
                "no cluster was named; give --cluster FILE, or set RAY_API_SERVER_ADDRESS=http://HOST:PORT."
            )
        return RayJobs(address, None)
    spec = read_cluster(file)
    launcher = launcher_for(spec, file)
    status = launcher.status()
    if status.state != "up" or status.head is None:
        if not isinstance(spec, SlurmCluster) or status.state not in ("down", "lost"):
            raise ClusterError(f"the cluster of {file} is {status.state}; start it: raybayes cluster up {file}")
        return None
    python = spec.python if isinstance(spec, LocalCluster | SlurmCluster | HostsFile) else ""
    return RayJobs(status.head.dashboard, launcher.folder, python)


def queued(file: str | None) -> SlurmJobs | None:
    """The one-shot jobs of a Slurm file."""
    spec = read_cluster(file) if file is not None else None
    return SlurmJobs(spec) if isinstance(spec, SlurmCluster) else None


def submit(
    file: str | None,
    arguments: Sequence[str],
    name: str,
    say: Say,
    excludes: Sequence[str] = (),
    limit_mb: float = LIMIT_MB,
) -> tuple[Jobs, str]:
    """Send a command to a cluster.

    Args:
        file: the cluster's; None: RAY_API_SERVER_ADDRESS.
        arguments: of raybayes.
        name: for a sweep that has none.
        excludes, limit_mb: what of the working directory travels (jobs API only; Slurm's nodes share it).

    Returns:
        Where the job is, and its id.
    """
    cwd = Path.cwd()
    spec = read_cluster(file) if file is not None else None
    results = spec.results if isinstance(spec, LocalCluster | SlurmCluster) else None
    if isinstance(spec, HostsFile):
        results = spec.option("--results")
    wanted = for_cluster(arguments, cwd, results, name)
    cluster = running(file)
    if cluster is None:
        assert isinstance(spec, SlurmCluster)
        slurm = SlurmJobs(spec)
        job = slurm.submit(wanted, cwd)
        say(f"job {job} is in Slurm's queue: {spec.nodes} nodes for {spec.time}, again and again until it is complete")
        return slurm, job
    packed = choose(cwd, excludes, limit_mb)
    say(f"sending {len(packed.files)} files ({packed.size / 1e6:.1f} MB) of {cwd}")
    variables = {key: os.environ[key] for key in ("RAYBAYES_DATA",) if key in os.environ}
    job = cluster.submit(wanted, packed, variables)
    say(f"job {job} is submitted")
    return cluster, job


def find(file: str | None, job: str) -> Jobs:
    """Where a job is: among the one-shot jobs of a Slurm file, else on the running cluster."""
    slurm = queued(file)
    if slurm is not None and any(line.id == job for line in slurm.list()):
        return slurm
    cluster = running(file)
    if cluster is None:
        raise ClusterError(f"there is no job {job!r}; see raybayes jobs list.")
    return cluster


def everything(file: str | None) -> list[JobLine]:
    """All jobs that a file knows."""
    slurm, cluster = queued(file), running(file)
    return [*(cluster.list() if cluster is not None else []), *(slurm.list() if slurm is not None else [])]
