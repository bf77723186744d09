"""Sends a command to the running cluster of a file, into Slurm's queue, or to an address; finds it again there."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from raybayes.errors import ClusterError
from raybayes.launch.config.cluster_spec import ClusterSpec, LocalCluster, SlurmCluster, read_cluster
from raybayes.launch.config.hosts_file import HostsFile
from raybayes.launch.interface import Say
from raybayes.launch.jobs.job_source import JobLine, Jobs
from raybayes.launch.jobs.ray_jobs import RayJobs
from raybayes.launch.jobs.remote_command import remote_arguments
from raybayes.launch.jobs.slurm_job import SlurmJobs
from raybayes.launch.jobs.working_dir import LIMIT_MB, select_files
from raybayes.launch.registry import launcher_for


def connect_ray_jobs(file: str | None) -> RayJobs | None:
    """Connect to the jobs API of a file's cluster, or of RAY_API_SERVER_ADDRESS.

    Returns:
        None if the file is a Slurm file whose cluster is down: then jobs go into the queue.

    Raises:
        ClusterError: neither a file nor an address is given, or the cluster is not up or does not answer.
    """
    if file is None:
        address = os.environ.get("RAY_API_SERVER_ADDRESS")
        if not address:
            raise ClusterError(
                "no cluster was named; use --cluster FILE, or set RAY_API_SERVER_ADDRESS=http://HOST:PORT."
            )
        return RayJobs(address, None)
    spec = read_cluster(file)
    launcher = launcher_for(spec, file)
    status = launcher.status()
    if status.state != "up" or status.head is None:
        if not isinstance(spec, SlurmCluster) or status.state not in ("down", "lost"):
            raise ClusterError(f"the cluster of {file} is {status.state}; start it with: raybayes cluster up {file}")
        return None
    python = spec.python if isinstance(spec, LocalCluster | SlurmCluster | HostsFile) else ""
    return RayJobs(status.head.dashboard, launcher.folder, python)


def open_slurm_jobs(file: str | None) -> SlurmJobs | None:
    """The batch jobs that were submitted with a Slurm file; None for another kind of file."""
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
        file: the cluster file; None: the cluster at RAY_API_SERVER_ADDRESS.
        arguments: of raybayes.
        name: of the sweep, if `arguments` give none.
        say: receives one sentence per step.
        excludes, limit_mb: which files of the working directory are sent, and their largest size in MB (only to a
            running cluster; the nodes of a batch job share the directory).

    Returns:
        Where the job is, and its id.
    """
    cwd = Path.cwd()
    spec = read_cluster(file) if file is not None else None
    command = remote_arguments(arguments, cwd, _results_of(spec), name)
    cluster = connect_ray_jobs(file)
    if cluster is None:
        assert isinstance(spec, SlurmCluster)
        queue = SlurmJobs(spec)
        job = queue.submit(command, cwd)
        say(
            f"job {job} is in Slurm's queue: {spec.nodes} nodes for {spec.time} per start, requeued until the sweep is "
            "finished"
        )
        return queue, job
    working_dir = select_files(cwd, excludes, limit_mb)
    say(f"sending {len(working_dir.files)} files ({working_dir.size / 1e6:.1f} MB) of {cwd}")
    variables = {key: os.environ[key] for key in ("RAYBAYES_DATA",) if key in os.environ}
    job = cluster.submit(command, working_dir, variables)
    say(f"job {job} submitted")
    return cluster, job


def _results_of(spec: ClusterSpec | None) -> str | None:
    """The storage that a cluster file names for sweeps."""
    if isinstance(spec, HostsFile):
        return spec.option("--results")
    return spec.results if isinstance(spec, LocalCluster | SlurmCluster) else None


def find_job(file: str | None, job: str) -> Jobs:
    """Where a job is: among the batch jobs of a Slurm file, else on the running cluster.

    Raises:
        ClusterError: it is in neither.
    """
    queue = open_slurm_jobs(file)
    if queue is not None and any(line.id == job for line in queue.list()):
        return queue
    cluster = connect_ray_jobs(file)
    if cluster is None:
        raise ClusterError(f"unknown job {job!r}; see raybayes jobs list.")
    return cluster


def list_jobs(file: str | None) -> list[JobLine]:
    """All jobs of a cluster file: on its running cluster and in the queue."""
    queue, cluster = open_slurm_jobs(file), connect_ray_jobs(file)
    return [*(cluster.list() if cluster is not None else []), *(queue.list() if queue is not None else [])]
