"""A cluster on nodes that Slurm gives: one batch job, which starts Ray on its nodes and ends it with itself."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from raybayes.errors import ClusterError
from raybayes.launch.cluster_paths import ClusterFolder, read_json, write_json, write_text
from raybayes.launch.config.cluster_spec import SlurmCluster, seconds
from raybayes.launch.interface import Say, Status, missing_nodes, raise_refusals, refuse_second
from raybayes.launch.node import checks
from raybayes.launch.node.checks import Finding
from raybayes.launch.slurm.sbatch import sbatch_text

_POLL_S = 1.0
_CLEAN_END_S = 60.0
_OVER = (
    "", "COMPLETED", "CANCELLED", "FAILED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "BOOT_FAIL", "DEADLINE",
    "PREEMPTED",
)  # fmt: skip
_WHY = "Slurm's commands are needed; run this on a login node of the cluster."


@dataclass(frozen=True)
class Job:
    """A job as Slurm's queue shows it."""

    state: str  # "" when Slurm knows it no longer, some minutes after its end
    reason: str = ""
    hosts: str = ""

    @property
    def over(self) -> bool:
        """Whether it will not run again."""
        return self.state in _OVER

    @property
    def ended(self) -> str:
        """How it ended, for people: "has ended: failed (NonZeroExitCode)"."""
        why = "" if self.reason in ("", "None") else f" ({self.reason})"
        return f"has ended: {self.state.lower()}{why}" if self.state else "has ended"


def slurm(*command: str) -> str:
    """Run one of Slurm's commands. Raises ClusterError with what it said, in Slurm's own words."""
    try:
        ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    except FileNotFoundError:
        raise ClusterError(f"{command[0]} is not on the PATH: {_WHY}") from None
    except subprocess.TimeoutExpired:
        raise ClusterError(f"{command[0]} did not answer within 120 s; is Slurm's controller up?") from None
    if ran.returncode:
        said = " ".join(ran.stderr.split()) or f"exit code {ran.returncode}"
        raise ClusterError(f"{command[0]}: {said}")
    return ran.stdout.strip()


def look(job: str) -> Job:
    """How a job stands in the queue."""
    try:
        shown = slurm("squeue", "--noheader", "--states=all", "--jobs", job, "--format", "%T|%r|%N")
    except ClusterError as error:
        if "Invalid job id" in str(error):  # it left the queue some minutes ago
            return Job("")
        raise
    if not shown:
        return Job("")
    state, reason, hosts = (part.strip() for part in shown.splitlines()[0].split("|"))
    return Job(state, reason, hosts)


def cancel(job: str, patience_s: float = 120.0) -> bool:
    """Cancel a job and wait until its processes have ended; whether they have."""
    if not look(job).over:
        slurm("scancel", job)
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        if look(job).over:
            return True
        time.sleep(_POLL_S)
    return False


def end(job: str, folder: ClusterFolder) -> bool:
    """Ask a job to end through its folder, which lets every node clean up; cancel it if it does not listen."""
    if look(job).state in ("RUNNING", "COMPLETING"):
        folder.stop.touch(mode=0o600)
        deadline = time.monotonic() + _CLEAN_END_S
        while time.monotonic() < deadline:
            if look(job).over:
                return True
            time.sleep(_POLL_S)
    return cancel(job)


def submit(text: str, folder: ClusterFolder, workdir: Path) -> str:
    """Hand a job to Slurm; its id."""
    write_text(folder.script, text)
    # The job gets its environment from `setup`; the cluster and token of this shell, if any, are not meant for it.
    for name in ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH"):
        os.environ.pop(name, None)
    job = slurm("sbatch", "--parsable", str(folder.script)).partition(";")[0]
    write_json(folder.record, {"job": job, "workdir": str(workdir)})
    return job


class SlurmLauncher:
    """See `raybayes.launch.interface.Launcher`."""

    def __init__(self, spec: SlurmCluster) -> None:
        self._spec, self.folder = spec, ClusterFolder(spec.folder)

    def check(self) -> list[Finding]:
        spec = self._spec
        found = list(checks.commands("sbatch", "squeue", "scancel", "scontrol", "sinfo", why=_WHY))
        if all(finding.level == "ok" for finding in found):
            try:
                found += partition_findings(spec)
            except ClusterError as error:
                found.append(Finding("error", str(error)))
        return [
            *found,
            checks.shared_folder(self.folder.path, "shared", several=True),
            checks.socket_paths(spec.scratch),
            checks.port_range(*spec.ports, spec.cpus_per_task, here=False),
            checks.open_files(),
        ]

    def render(self) -> str:
        return sbatch_text(self._spec, self.folder.path, Path.cwd())

    def up(self, say: Say) -> Status:
        refuse_second(self.status(), self._spec.name)
        checks.raise_errors(self.check())
        self.folder.forget()
        self.folder.create()
        job = submit(self.render(), self.folder, Path.cwd())
        say(f"job {job} submitted")
        try:
            wait_until_running(job, self._spec.pending_timeout_s, say)
            return self._wait_for_nodes(job, say)
        except (ClusterError, KeyboardInterrupt):
            end(job, self.folder)
            self.folder.forget()
            raise

    def _wait_for_nodes(self, job: str, say: Say) -> Status:
        began, shown = time.monotonic(), -1
        status = Status("starting")
        while time.monotonic() - began < self._spec.join_timeout_s:
            status = self.status()
            if status.state in ("lost", "down"):
                raise_refusals(self.folder)
                raise ClusterError(f"job {job} ended before the nodes had joined; its last words: {self.last_words()}")
            if len(status.hosts) != shown:
                shown = len(status.hosts)
                say(f"{shown} of {status.wanted} nodes have joined")
            if status.state == "up":
                return status
            raise_refusals(self.folder)
            time.sleep(_POLL_S)
        raise missing_nodes(self.folder, status.hosts, status.wanted, self._spec.join_timeout_s)

    def last_words(self) -> str:
        """The end of the job's output."""
        try:
            lines = self.folder.output.read_text("utf-8", errors="replace").strip().splitlines()
        except OSError:
            return f"none; is {self.folder.path} on a disk that the nodes share?"
        return " | ".join(lines[-3:]) or "none"

    def status(self) -> Status:
        record, wanted = read_json(self.folder.record), self._spec.ray_nodes
        if record is None:
            return Status("down", wanted=wanted)
        job = look(record["job"])
        if job.over:
            return Status("lost", f"job {record['job']} {job.ended}", wanted=wanted)
        detail = f"job {record['job']} {job.state.lower()}"
        if job.state != "RUNNING":
            return Status("pending", f"{detail}: {job.reason}", wanted=wanted)
        head, joined = self.folder.read_head(), self.folder.read_joined()
        if head is None or joined is None:
            return Status("starting", f"{detail} on {job.hosts}", wanted=wanted)
        state = "up" if len(joined.hosts) >= wanted else "starting"
        where = f"{detail} on {job.hosts}"
        return Status(state, where, joined.hosts, wanted, joined.cpus, joined.gpus, head)

    def down(self, say: Say) -> list[str]:
        record = read_json(self.folder.record)
        left = []
        if record is not None:
            say(f"ending job {record['job']}")
            if not end(record["job"], self.folder):
                left.append(f"job {record['job']}: still in the queue")
            left += [f"{found['host']}: {found['scratch']}" for found in wait_for_records(self.folder)]
        self.folder.forget()
        return left


def wait_for_records(folder: ClusterFolder, patience_s: float = 30.0) -> list[dict[str, object]]:
    """Until every node has removed its own record, which it does last; the records that stay."""
    deadline = time.monotonic() + patience_s
    while (left := folder.nodes()) and time.monotonic() < deadline:
        time.sleep(0.5)
    return left


def wait_until_running(job: str, timeout_s: float, say: Say) -> None:
    """Until Slurm has started the job. Raises ClusterError with Slurm's reason when it takes too long."""
    began, shown = time.monotonic(), ""
    while True:
        found = look(job)
        if found.state in ("RUNNING", "COMPLETING") or found.over:
            return
        told = f"{found.state.lower()} ({found.reason})"
        if told != shown:
            shown = told
            say(f"job {job} is {told}")
        if time.monotonic() - began > timeout_s:
            raise ClusterError(
                f"job {job} was still {told} after {timeout_s:g} s, so it was cancelled; Slurm's reason is "
                f"{found.reason!r}. Ask for less, another partition, or raise pending_timeout_s."
            )
        time.sleep(_POLL_S)


def partition_findings(spec: SlurmCluster) -> list[Finding]:
    """Whether the partition exists and could ever give what is asked."""
    # partition (a star marks the default), nodes, CPUs of a node, memory in MB, GPUs, time limit, usable or not
    rows = [line.split("|") for line in slurm("sinfo", "--noheader", "--format", "%P|%D|%c|%m|%G|%l|%a").splitlines()]
    names = sorted({row[0].rstrip("*") for row in rows})
    wanted = spec.partition or next((row[0].rstrip("*") for row in rows if row[0].endswith("*")), None)
    if wanted is None:
        return [Finding("error", f"partition: Slurm has no default; write one of {', '.join(names)}.")]
    mine = [row for row in rows if row[0].rstrip("*") == wanted]
    if not mine:
        return [Finding("error", f"partition {wanted!r} is unknown; there are: {', '.join(names) or 'none'}.")]
    problems = [problem for problem in (_cpus(spec, mine), _memory(spec, mine), _gpus(spec, mine)) if problem]
    problems += [problem for problem in (_count(spec, mine), _limit(spec, mine)) if problem]
    shown = ", ".join(f"{row[1]} nodes with {row[2]} CPUs, {row[3]} MB, GPUs {row[4]}" for row in mine)
    if problems:
        return [Finding("error", f"partition {wanted}: {problem}; it has {shown}.") for problem in problems]
    return [Finding("ok", f"partition {wanted}: {shown}")]


def _number(text: str) -> int:
    digits = "".join(character for character in text if character.isdigit())
    return int(digits or 0)


def _cpus(spec: SlurmCluster, rows: Sequence[Sequence[str]]) -> str | None:
    need = spec.tasks_per_node * spec.cpus_per_task
    most = max(_number(row[2]) for row in rows)
    return f"no node has {need} CPUs (tasks_per_node x cpus_per_task)" if need > most else None


def _memory(spec: SlurmCluster, rows: Sequence[Sequence[str]]) -> str | None:
    if spec.memory is None:
        return None
    unit = {"K": 1 / 1024, "M": 1, "G": 1024, "T": 1024**2}.get(spec.memory[-1], 1)
    need = _number(spec.memory) * unit
    return f"no node has {spec.memory} of memory" if need > max(_number(row[3]) for row in rows) else None


def _gpus(spec: SlurmCluster, rows: Sequence[Sequence[str]]) -> str | None:
    if not spec.gpus_per_node:
        return None
    kind = f":{spec.gpu_type}" if spec.gpu_type else ""
    most = max((_gpu_count(row[4], kind) for row in rows), default=0)
    shown = f"{spec.gpus_per_node} GPUs{f' of type {spec.gpu_type}' if spec.gpu_type else ''}"
    return f"no node has {shown}" if spec.gpus_per_node > most else None


def _gpu_count(gres: str, kind: str) -> int:
    """`gpu:v100:4(S:0-1),lscratch:100` has 4."""
    counts = [
        int(part.partition("(")[0].rsplit(":", 1)[1])
        for part in gres.split(",")
        if part.startswith(f"gpu{kind}:") and part.partition("(")[0].rsplit(":", 1)[1].isdigit()
    ]
    return sum(counts)


def _count(spec: SlurmCluster, rows: Sequence[Sequence[str]]) -> str | None:
    total = sum(_number(row[1]) for row in rows)
    return f"it has {total} nodes, and {spec.nodes} are asked for" if spec.nodes > total else None


def _limit(spec: SlurmCluster, rows: Sequence[Sequence[str]]) -> str | None:
    limits = [row[5] for row in rows]
    if any(limit in ("infinite", "n/a", "UNLIMITED") for limit in limits):
        return None
    if seconds(spec.time) > max(seconds(limit) for limit in limits):
        return f"the time {spec.time} is above its limit of {limits[0]}"
    return None
