"""Jobs on a running cluster, over Ray's jobs API: submit, follow, list, stop."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import shlex
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raybayes.errors import ClusterError
from raybayes.launch.cluster_paths import ClusterFolder
from raybayes.launch.jobs.remote_command import name_of
from raybayes.launch.jobs.working_dir import Packed

_STOP_S = 120  # a stopped sweep writes checkpoints first; Ray's own patience is 3 s


@dataclass(frozen=True)
class JobLine:
    """One job, as `raybayes jobs list` shows it."""

    id: str
    state: str
    command: str
    where: str
    started: float | None = None  # Unix epoch
    exit_code: int | None = None


class RayJobs:
    """The jobs of one cluster.

    Args:
        address: `http://host:port` of its dashboard.
        folder: where its token lies; None: what the environment says.
        python: the interpreter on the head.

    Raises:
        ClusterError: it does not answer, or refuses the token.
    """

    def __init__(self, address: str, folder: ClusterFolder | None, python: str = sys.executable) -> None:
        if folder is not None:
            folder.authenticate()
        elif _token().exists():  # then `ray start` has turned authentication on by itself
            os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.pop("RAY_ADDRESS", None)  # it would win over the address given here
        os.environ["RAY_RUNTIME_ENV_IGNORE_GITIGNORE"] = "1"  # what travels was decided in `packing`
        from ray.job_submission import JobSubmissionClient

        logging.getLogger("ray.dashboard").setLevel(logging.ERROR)  # it tells of each closed socket

        self._address, self._python = address, python
        self._client: Any = self._ask(lambda: JobSubmissionClient(address))

    def _ask(self, call: Callable[[], Any]) -> Any:
        from ray.exceptions import AuthenticationError

        try:
            return call()
        except AuthenticationError:
            raise ClusterError(
                f"{self._address} does not accept the token in {_token()}: it is another user's cluster, or an older "
                "one's file; use the cluster file that started it."
            ) from None
        except OSError:  # requests' errors are among them
            raise ClusterError(
                f"{self._address} does not answer; see raybayes cluster status, or open the tunnel that it prints."
            ) from None
        except RuntimeError as error:
            said = " ".join(str(error).split())
            if "404" in said or "does not exist" in said:
                raise ClusterError(f"{self._address} has no such job; see raybayes jobs list.") from None
            raise ClusterError(f"{self._address}: {said[:400]}") from None

    def submit(self, arguments: Sequence[str], packed: Packed, variables: Mapping[str, str]) -> str:
        """Send the working directory and start `raybayes ARGUMENTS` in it; the job's id."""
        entry = shlex.join([self._python, "-m", "raybayes", *arguments])
        name = f"{name_of(arguments)}-{secrets.token_hex(2)}"
        with tempfile.TemporaryDirectory(prefix="raybayes-pack-") as staging:
            packed.copy_to(Path(staging))
            environment = {
                "working_dir": staging,
                "env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": str(_STOP_S), "PYTHONUNBUFFERED": "1", **variables},
            }
            return str(
                self._ask(
                    lambda: self._client.submit_job(
                        entrypoint=entry,
                        submission_id=name,
                        runtime_env=environment,
                        metadata={"job_name": name, "raybayes": shlex.join(arguments)},
                    )
                )
            )

    def follow(self, job: str, write: Callable[[str], Any]) -> int:
        """Hand on what the job prints until it ends; its exit code."""

        async def tail() -> None:
            async for lines in self._client.tail_job_logs(job):
                write(lines)

        self._ask(lambda: asyncio.run(tail()))
        return self.exit_code(job)

    def exit_code(self, job: str) -> int:
        """How a job ended: its driver's exit code, 143 for a stopped one without."""
        info = self._ask(lambda: self._client.get_job_info(job))
        if info.driver_exit_code is not None:
            return int(info.driver_exit_code)
        if str(info.status) == "SUCCEEDED":
            return 0
        if str(info.status) == "STOPPED":
            return 143
        raise ClusterError(
            f"job {job} is {str(info.status).lower()}: {' '.join(str(info.message or '').split())[:300]}"
        )

    def logs(self, job: str) -> str:
        """All that the job has printed."""
        return str(self._ask(lambda: self._client.get_job_logs(job)))

    def stop(self, job: str) -> bool:
        """Ask a job to end: a sweep writes checkpoints and can be resumed. Whether it was running."""
        return bool(self._ask(lambda: self._client.stop_job(job)))

    def list(self) -> list[JobLine]:
        """All jobs that were submitted, newest first."""
        found = [info for info in self._ask(self._client.list_jobs) if info.submission_id is not None]
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


def _token() -> Path:
    """The file that Ray takes the token from."""
    return Path(os.environ.get("RAY_AUTH_TOKEN_PATH", "~/.ray/auth_token")).expanduser()
