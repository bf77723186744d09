"""One batch job per sweep: it starts Ray, runs the sweep, and is requeued until the sweep is finished."""

from __future__ import annotations

import datetime
import shlex
import time
from collections.abc import Sequence
from pathlib import Path

from raybayes.errors import ClusterError, OutOfTime
from raybayes.launch.cluster_paths import ClusterFolder, read_json, write_json
from raybayes.launch.config.cluster_spec import SlurmCluster
from raybayes.launch.jobs.job_source import JobLine, Write
from raybayes.launch.jobs.remote_command import sweep_name_of
from raybayes.launch.slurm.commands import POLL_S, JobState, cancel_job, query_job, run_slurm, submit_job
from raybayes.launch.slurm.sbatch import sbatch_text


class SlurmJobs:
    """See `raybayes.launch.jobs.job_source.Jobs`: the submitted sweeps of a Slurm file, in `shared`/jobs."""

    def __init__(self, spec: SlurmCluster) -> None:
        self._spec = spec
        self._parent = spec.folder.parent / "jobs"

    def _folder(self, job: str) -> ClusterFolder:
        folder = ClusterFolder(self._parent / job)
        if not folder.record.exists():
            raise ClusterError(f"unknown job {job!r} in {self._parent}; see raybayes jobs list.")
        return folder

    def submit(self, arguments: Sequence[str], workdir: Path) -> str:
        """Submit `raybayes ARGUMENTS` as a batch job. Returns its id, the name of the job's folder."""
        name = f"{sweep_name_of(arguments)}-{datetime.datetime.now():%m%d-%H%M%S}"
        folder = ClusterFolder(self._parent / name)
        folder.create()
        text = sbatch_text(self._spec, folder.path, workdir, arguments)
        job = submit_job(text, folder, workdir)
        write_json(folder.record, {
            "job": job, "command": shlex.join(arguments), "submitted": time.time(), "workdir": str(workdir),
        })  # fmt: skip
        return name

    def follow(self, job: str, write: Write) -> int:
        """Pass on what a job prints, over all its starts, until it ends. Returns its exit code.

        Raises:
            ClusterError: it ended without a result: it was cancelled or killed, or its node failed.
        """
        folder = self._folder(job)
        number, position, shown = read_json(folder.record)["job"], 0, ""
        while True:
            found = query_job(number)
            position = _forward_output(folder.output, position, write)
            if found.finished:
                _forward_output(folder.output, position, write)
                return self._read_exit_code(folder, number, found)
            text = f"{found.state.lower()} ({found.reason})" if found.state == "PENDING" else found.state.lower()
            if text != shown:
                shown = text
                write(f"{time.strftime('%H:%M:%S')} raybayes: job {number} is {text}\n")
            time.sleep(POLL_S)

    def _read_exit_code(self, folder: ClusterFolder, number: str, found: JobState) -> int:
        result = read_json(folder.result)
        if result is None:
            raise ClusterError(
                f"job {number} has {found.outcome}, without a result: it was cancelled, or its node failed, or "
                f"Slurm could not start it. Everything that was reported is stored. Its output: {folder.output}."
            )
        return int(result["exit_code"])

    def logs(self, job: str) -> str:
        """Everything that a job has printed."""
        output = self._folder(job).output
        return output.read_text("utf-8", errors="replace") if output.exists() else ""

    def stop(self, job: str) -> bool:
        """End a job for good; a running sweep writes its checkpoints first. Returns whether it was in the queue."""
        folder = self._folder(job)
        number = read_json(folder.record)["job"]
        found = query_job(number)
        if found.finished:
            return False
        if found.state == "RUNNING":
            run_slurm("scancel", "--batch", "--signal=TERM", number)
        else:
            cancel_job(number)
            write_json(folder.result, {"exit_code": OutOfTime.exit_code, "starts": 0})
            folder.token.unlink(missing_ok=True)
        return True

    def list(self) -> list[JobLine]:
        """All submitted jobs, newest first."""
        folders = [ClusterFolder(path) for path in self._parent.iterdir()] if self._parent.is_dir() else []
        lines = [line for folder in folders if (line := _job_line(folder)) is not None]
        return sorted(lines, key=lambda line: -(line.started or 0))


def _job_line(folder: ClusterFolder) -> JobLine | None:
    record, result = read_json(folder.record), read_json(folder.result)
    if record is None:
        return None
    found = query_job(record["job"])
    code = None if result is None else int(result["exit_code"])
    state = found.state if not found.finished else _final_state(code)
    where = f"Slurm job {record['job']}"
    return JobLine(folder.path.name, state, record["command"], where, record["submitted"], code)


def _final_state(code: int | None) -> str:
    if code is None:
        return "LOST"
    return "FAILED" if code else "SUCCEEDED"


def _forward_output(path: Path, position: int, write: Write) -> int:
    """Pass on the part of a growing file after `position`, in bytes. Returns the new position."""
    if not path.exists():
        return position
    with path.open("rb") as file:
        file.seek(position)
        data = file.read()
    if data:
        write(data.decode("utf-8", errors="replace"))
    return position + len(data)
