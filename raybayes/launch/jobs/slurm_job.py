"""One sbatch job for one sweep: it starts Ray, runs the sweep, and returns to the queue until the sweep is complete."""

from __future__ import annotations

import datetime
import shlex
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from raybayes.errors import ClusterError, OutOfTime
from raybayes.launch.cluster_paths import ClusterFolder, read_json, write_json
from raybayes.launch.config.cluster_spec import SlurmCluster
from raybayes.launch.jobs.ray_jobs import JobLine
from raybayes.launch.jobs.remote_command import name_of
from raybayes.launch.launchers.slurm import Job, cancel, look, slurm, submit
from raybayes.launch.slurm.sbatch import sbatch_text

_POLL_S = 1.0


class SlurmJobs:
    """The one-shot jobs of a Slurm cluster file, below `shared`/jobs."""

    def __init__(self, spec: SlurmCluster) -> None:
        self._spec = spec
        self._home = spec.folder.parent / "jobs"

    def _folder(self, job: str) -> ClusterFolder:
        folder = ClusterFolder(self._home / job)
        if not folder.record.exists():
            raise ClusterError(f"there is no job {job!r} in {self._home}; see raybayes jobs list.")
        return folder

    def submit(self, arguments: Sequence[str], workdir: Path) -> str:
        """Submit the job; its id (ours, the folder's name)."""
        name = f"{name_of(arguments)}-{datetime.datetime.now():%m%d-%H%M%S}"
        folder = ClusterFolder(self._home / name)
        folder.create()
        text = sbatch_text(self._spec, folder.path, workdir, arguments)
        job = submit(text, folder, workdir)
        write_json(folder.record, {
            "job": job, "command": shlex.join(arguments), "submitted": time.time(), "workdir": str(workdir),
        })  # fmt: skip
        return name

    def follow(self, job: str, write: Callable[[str], Any]) -> int:
        """Hand on what the job prints, over all its starts, until it ends; its exit code.

        Raises:
            ClusterError: it ended without saying how: cancelled, killed, or its node died.
        """
        folder = self._folder(job)
        number, read, shown = read_json(folder.record)["job"], 0, ""
        while True:
            found = look(number)
            read = _hand_on(folder.output, read, write)
            if found.over:
                _hand_on(folder.output, read, write)
                return self._ended(folder, number, found)
            told = f"{found.state.lower()} ({found.reason})" if found.state == "PENDING" else found.state.lower()
            if told != shown:
                shown = told
                write(f"{time.strftime('%H:%M:%S')} raybayes: job {number} is {told}\n")
            time.sleep(_POLL_S)

    def _ended(self, folder: ClusterFolder, number: str, found: Job) -> int:
        result = read_json(folder.result)
        if result is None:
            raise ClusterError(
                f"job {number} {found.ended}, without a result of its own: it was cancelled, or its node was lost, or "
                f"Slurm could not start it; everything that was reported is stored. Its output: {folder.output}."
            )
        return int(result["exit_code"])

    def logs(self, job: str) -> str:
        """All that the job has printed."""
        output = self._folder(job).output
        return output.read_text("utf-8", errors="replace") if output.exists() else ""

    def stop(self, job: str) -> bool:
        """End the job for good; a running sweep writes its checkpoints first. Whether it was in the queue."""
        folder = self._folder(job)
        number = read_json(folder.record)["job"]
        found = look(number)
        if found.over:
            return False
        if found.state == "RUNNING":
            slurm("scancel", "--batch", "--signal=TERM", number)
        else:
            cancel(number)
            write_json(folder.result, {"exit_code": OutOfTime.exit_code, "starts": 0})
            folder.token.unlink(missing_ok=True)
        return True

    def list(self) -> list[JobLine]:
        """All jobs, newest first."""
        lines = []
        for path in self._home.iterdir() if self._home.is_dir() else []:
            folder = ClusterFolder(path)
            record, result = read_json(folder.record), read_json(folder.result)
            if record is None:
                continue
            found = look(record["job"])
            code = None if result is None else int(result["exit_code"])
            state = (
                found.state if not found.over else ("LOST" if code is None else "SUCCEEDED" if code == 0 else "FAILED")
            )
            lines.append(
                JobLine(path.name, state, record["command"], f"Slurm job {record['job']}", record["submitted"], code)
            )
        return sorted(lines, key=lambda line: -(line.started or 0))


def _hand_on(path: Path, read: int, write: Callable[[str], Any]) -> int:
    """What a growing file has beyond `read` bytes; how far it has been read now."""
    if not path.exists():
        return read
    with path.open("rb") as file:
        file.seek(read)
        data = file.read()
    if data:
        write(data.decode("utf-8", errors="replace"))
    return read + len(data)
