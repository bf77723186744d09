"""Jobs on a running cluster, through Ray's jobs API: submit, follow, list, stop."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import shlex
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from raybayes.errors import ClusterError
from raybayes.launch.cluster_paths import ClusterFolder
from raybayes.launch.jobs.job_source import JobLine, Write
from raybayes.launch.jobs.remote_command import sweep_name_of
from raybayes.launch.jobs.working_dir import WorkingDir

_STOP_TIMEOUT_S = 120  # a stopped sweep writes checkpoints first; Ray's default is 3 s
_STOPPED = 143


class RayJobs:
    """See `raybayes.launch.jobs.job_source.Jobs`.

    Args:
        address: `http://host:port` of the cluster's dashboard.
        folder: where the cluster's token is; None: Ray's own variables and files name it.
        python: interpreter on the head.

    Raises:
        ClusterError: the cluster does not answer, or refuses the token.
    """

    def __init__(self, address: str, folder: ClusterFolder | None, python: str = sys.executable) -> None:
        if folder is not None:
            folder.set_token_variables(os.environ)
        elif _token_file().exists():  # then `ray start` has turned authentication on by itself
            os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.pop("RAY_ADDRESS", None)  # it would win over `address`
        os.environ["RAY_RUNTIME_ENV_IGNORE_GITIGNORE"] = "1"  # `working_dir` has decided which files are sent
        from ray.job_submission import JobSubmissionClient

        logging.getLogger("ray.dashboard").setLevel(logging.ERROR)  # it logs each closed socket

        self._address, self._python = address, python
        self._client: Any = self._call(lambda: JobSubmissionClient(address))

    def _call(self, call: Callable[[], Any]) -> Any:
        """Call the API, with its exceptions as ClusterError."""
        from ray.exceptions import AuthenticationError

        try:
            return call()
        except AuthenticationError:
            raise ClusterError(
                f"{self._address} does not accept the token in {_token_file()}: the cluster belongs to another user, "
                "or the token to an earlier cluster; use the cluster file that started it."
            ) from None
        except OSError:  # the exceptions of requests are among them
            raise ClusterError(
                f"{self._address} does not answer; see raybayes cluster status, or open the tunnel that it prints."
            ) from None
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            if "404" in reason or "does not exist" in reason:
                raise ClusterError(f"{self._address} has no such job; see raybayes jobs list.") from None
            raise ClusterError(f"{self._address}: {reason[:400]}") from None

    def submit(self, arguments: Sequence[str], working_dir: WorkingDir, variables: Mapping[str, str]) -> str:
        """Send the working directory and start `raybayes ARGUMENTS` in it. Returns the job's id."""
        entry = shlex.join([self._python, "-m", "raybayes", *arguments])
        name = f"{sweep_name_of(arguments)}-{secrets.token_hex(2)}"
        with tempfile.TemporaryDirectory(prefix="raybayes-pack-") as staging:
            working_dir.copy_to(Path(staging))
            environment = {
                "working_dir": staging,
                "env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": str(_STOP_TIMEOUT_S), "PYTHONUNBUFFERED": "1", **variables},
            }
            return str(
                self._call(
                    lambda: self._client.submit_job(
                        entrypoint=entry,
                        submission_id=name,
                        runtime_env=environment,
                        metadata={"job_name": name, "raybayes": shlex.join(arguments)},
                    )
                )
            )

    def follow(self, job: str, write: Write) -> int:
        """Pass on what a job prints until it ends. Returns its exit code."""

        async def tail() -> None:
            async for lines in self._client.tail_job_logs(job):
                write(lines)

        self._call(lambda: asyncio.run(tail()))
        return self.exit_code(job)

    def exit_code(self, job: str) -> int:
        """The exit code of a job's driver; 143 for a stopped job without one.

        Raises:
            ClusterError: the job has not ended, or failed before its driver started.
        """
        info = self._call(lambda: self._client.get_job_info(job))
        if info.driver_exit_code is not None:
            return int(info.driver_exit_code)
        if str(info.status) == "SUCCEEDED":
            return 0
        if str(info.status) == "STOPPED":
            return _STOPPED
        raise ClusterError(
            f"job {job} is {str(info.status).lower()}: {' '.join(str(info.message or '').split())[:300]}"
        )

    def logs(self, job: str) -> str:
        """Everything that a job has printed."""
        return str(self._call(lambda: self._client.get_job_logs(job)))

    def stop(self, job: str) -> bool:
        """Ask a job to end; a sweep writes checkpoints first and can be resumed. Returns whether it was running."""
        return bool(self._call(lambda: self._client.stop_job(job)))

    def list(self) -> list[JobLine]:
        """All submitted jobs, newest first."""
        found = [info for info in self._call(self._client.list_jobs) if info.submission_id is not None]
        found.sort(key=lambda info: -(info.start_time or 0))
        return [
            JobLine(
                info.submission_id,
                str(info.status),
                (info.metadata or {}).get("raybayes") or info.entrypoint,
                self._address,
                info.start_time / 1000 if info.start_time else None,
                info.driver_exit_code,
            )
            for info in found
        ]


def _token_file() -> Path:
    """The file from which Ray reads the token."""
    return Path(os.environ.get("RAY_AUTH_TOKEN_PATH", "~/.ray/auth_token")).expanduser()
