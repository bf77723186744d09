"""Slurm's commands: submit a batch job, ask for its state, end it."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from raybayes.errors import ClusterError
from raybayes.launch.cluster_paths import ClusterFolder, write_json, write_text
from raybayes.launch.interface import Say

POLL_S = 1.0
MISSING_HINT = "Slurm's commands are needed; run this on a login node of the cluster."
_CLEAN_END_S = 60.0
_FINISHED = (
    "", "COMPLETED", "CANCELLED", "FAILED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "BOOT_FAIL", "DEADLINE",
    "PREEMPTED",
)  # fmt: skip


@dataclass(frozen=True)
class JobState:
    """A job as Slurm's queue shows it.

    Args:
        state: in Slurm's words; "" when Slurm no longer knows the job, some minutes after its end.
        reason: why it is pending, or how it failed.
        hosts: the nodes that it runs on.
    """

    state: str
    reason: str = ""
    hosts: str = ""

    @property
    def finished(self) -> bool:
        """Whether it will not run again."""
        return self.state in _FINISHED

    @property
    def outcome(self) -> str:
        """How a finished job ended, for people: "ended: failed (NonZeroExitCode)"."""
        why = "" if self.reason in ("", "None") else f" ({self.reason})"
        return f"ended: {self.state.lower()}{why}" if self.state else "ended"


def run_slurm(*command: str) -> str:
    """Run one of Slurm's commands and return what it prints. Raises ClusterError with Slurm's own sentence."""
    try:
        ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    except FileNotFoundError:
        raise ClusterError(f"{command[0]} is not on the PATH: {MISSING_HINT}") from None
    except subprocess.TimeoutExpired:
        raise ClusterError(f"{command[0]} did not answer within 120 s; check that slurmctld runs.") from None
    if ran.returncode:
        reason = " ".join(ran.stderr.split()) or f"exit code {ran.returncode}"
        raise ClusterError(f"{command[0]}: {reason}")
    return ran.stdout.strip()


def query_job(job: str) -> JobState:
    """Ask Slurm for the state of a job."""
    try:
        shown = run_slurm("squeue", "--noheader", "--states=all", "--jobs", job, "--format", "%T|%r|%N")
    except ClusterError as error:
        if "Invalid job id" in str(error):  # it left the queue some minutes ago
            return JobState("")
        raise
    if not shown:
        return JobState("")
    state, reason, hosts = (part.strip() for part in shown.splitlines()[0].split("|"))
    return JobState(state, reason, hosts)


def submit_job(text: str, folder: ClusterFolder, workdir: Path) -> str:
    """Write the batch script into the folder, submit it and record it; the job's id."""
    write_text(folder.script, text)
    # The job gets its environment from `setup`; the cluster and token of this shell, if any, must not reach it.
    for name in ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH"):
        os.environ.pop(name, None)
    job = run_slurm("sbatch", "--parsable", str(folder.script)).partition(";")[0]
    write_json(folder.record, {"job": job, "workdir": str(workdir)})
    return job


def wait_until_running(job: str, timeout_s: float, say: Say) -> None:
    """Wait until Slurm has started a job.

    Raises:
        ClusterError: with Slurm's reason, if it is still pending after `timeout_s`.
    """
    began, shown = time.monotonic(), ""
    while True:
        found = query_job(job)
        if found.state in ("RUNNING", "COMPLETING") or found.finished:
            return
        text = f"{found.state.lower()} ({found.reason})"
        if text != shown:
            shown = text
            say(f"job {job} is {text}")
        if time.monotonic() - began > timeout_s:
            raise ClusterError(
                f"job {job} was still {text} after {timeout_s:g} s and was cancelled; Slurm's reason is "
                f"{found.reason!r}. Ask for less, use another partition, or raise pending_timeout_s."
            )
        time.sleep(POLL_S)


def end_job(job: str, folder: ClusterFolder) -> bool:
    """End a job through its folder, so that every node cleans up, and cancel it if it does not end.

    Returns:
        Whether it has ended.
    """
    if query_job(job).state in ("RUNNING", "COMPLETING"):
        folder.stop.touch(mode=0o600)
        if _wait_until_finished(job, _CLEAN_END_S):
            return True
    return cancel_job(job)


def cancel_job(job: str, timeout_s: float = 120.0) -> bool:
    """Cancel a job and wait until its processes have ended. Returns whether they have."""
    if not query_job(job).finished:
        run_slurm("scancel", job)
    return _wait_until_finished(job, timeout_s)


def _wait_until_finished(job: str, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if query_job(job).finished:
            return True
        time.sleep(POLL_S)
    return False
