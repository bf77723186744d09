"""A cluster on nodes that Slurm allocates: one batch job starts Ray on them and ends it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from raybayes.errors import ClusterError
from raybayes.launch.cluster_paths import ClusterFolder, NodeRecord, read_json
from raybayes.launch.config.cluster_spec import SlurmCluster
from raybayes.launch.interface import Say, Status, missing_nodes_error, require_down, require_no_refusals
from raybayes.launch.node import checks
from raybayes.launch.node.checks import Finding
from raybayes.launch.slurm import commands
from raybayes.launch.slurm.partition import check_partition
from raybayes.launch.slurm.sbatch import sbatch_text


class SlurmLauncher:
    """See `raybayes.launch.interface.Launcher`."""

    def __init__(self, spec: SlurmCluster) -> None:
        self._spec, self.folder = spec, ClusterFolder(spec.folder)

    def check(self) -> list[Finding]:
        spec = self._spec
        found = list(
            checks.check_commands("sbatch", "squeue", "scancel", "scontrol", "sinfo", why=commands.MISSING_HINT)
        )
        if all(finding.level == "ok" for finding in found):
            try:
                found += check_partition(spec)
            except ClusterError as error:
                found.append(Finding("error", str(error)))
        return [
            *found,
            checks.check_shared_folder(self.folder.path, "shared", several=True),
            checks.check_socket_paths(spec.scratch),
            checks.check_port_range(*spec.ports, spec.cpus_per_task, here=False),
            checks.check_open_files(),
        ]

    def render(self) -> str:
        return sbatch_text(self._spec, self.folder.path, Path.cwd())

    def up(self, say: Say) -> Status:
        require_down(self.status(), self._spec.name)
        checks.require_no_errors(self.check())
        self.folder.clear_cluster()
        self.folder.create()
        job = commands.submit_job(self.render(), self.folder, Path.cwd())
        say(f"job {job} submitted")
        try:
            commands.wait_until_running(job, self._spec.pending_timeout_s, say)
            return self._wait_for_nodes(job, say)
        except (ClusterError, KeyboardInterrupt):
            commands.end_job(job, self.folder)
            self.folder.clear_cluster()
            raise

    def _wait_for_nodes(self, job: str, say: Say) -> Status:
        began, shown = time.monotonic(), -1
        status = Status("starting")
        while time.monotonic() - began < self._spec.join_timeout_s:
            status = self.status()
            if status.state in ("lost", "down"):
                require_no_refusals(self.folder)
                raise ClusterError(f"job {job} ended before the nodes had joined; its last lines: {self._output_end()}")
            if len(status.hosts) != shown:
                shown = len(status.hosts)
                say(f"{shown} of {status.wanted} nodes have joined")
            if status.state == "up":
                return status
            require_no_refusals(self.folder)
            time.sleep(commands.POLL_S)
        raise missing_nodes_error(self.folder, status.hosts, status.wanted, self._spec.join_timeout_s)

    def _output_end(self) -> str:
        """The last lines of the job's output."""
        try:
            lines = self.folder.output.read_text("utf-8", errors="replace").strip().splitlines()
        except OSError:
            return f"none; check that {self.folder.path} is on a disk that the nodes share"
        return " | ".join(lines[-3:]) or "none"

    def status(self) -> Status:
        record: dict[str, Any] | None = read_json(self.folder.record)
        wanted = self._spec.ray_nodes
        if record is None:
            return Status("down", wanted=wanted)
        job = commands.query_job(record["job"])
        if job.finished:
            return Status("lost", f"job {record['job']} has {job.outcome}", wanted=wanted)
        detail = f"job {record['job']} {job.state.lower()}"
        if job.state != "RUNNING":
            return Status("pending", f"{detail}: {job.reason}", wanted=wanted)
        head, joined = self.folder.read_head(), self.folder.read_joined()
        detail = f"{detail} on {job.hosts}"
        if head is None or joined is None:
            return Status("starting", detail, wanted=wanted)
        state = "up" if len(joined.hosts) >= wanted else "starting"
        return Status(state, detail, joined.hosts, wanted, joined.cpus, joined.gpus, head)

    def down(self, say: Say) -> list[str]:
        record = read_json(self.folder.record)
        left = []
        if record is not None:
            say(f"ending job {record['job']}")
            if not commands.end_job(record["job"], self.folder):
                left.append(f"job {record['job']}: still in the queue")
            left += [f"{node.host}: {node.scratch}" for node in wait_for_cleanup(self.folder)]
        self.folder.clear_cluster()
        return left


def wait_for_cleanup(folder: ClusterFolder, timeout_s: float = 30.0) -> list[NodeRecord]:
    """Wait until every node has removed its own record, its last action. Returns the records that are left."""
    deadline = time.monotonic() + timeout_s
    while (left := folder.read_nodes()) and time.monotonic() < deadline:
        time.sleep(0.5)
    return left
