"""What can be done with jobs, wherever they run: on a running cluster or in Slurm's queue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

Write = Callable[[str], Any]


@dataclass(frozen=True)
class JobLine:
    """One job, as `raybayes jobs list` shows it."""

    id: str
    state: str
    command: str
    where: str
    started: float | None = None  # Unix epoch
    exit_code: int | None = None


class Jobs(Protocol):
    """The jobs of one cluster or of one queue."""

    def follow(self, job: str, write: Write) -> int:
        """Pass on what a job prints until it ends. Returns its exit code."""
        ...

    def logs(self, job: str) -> str:
        """Everything that a job has printed."""
        ...

    def stop(self, job: str) -> bool:
        """Ask a job to end; a sweep writes checkpoints first and can be resumed. Returns whether it was running."""
        ...

    def list(self) -> list[JobLine]:
        """All jobs, newest first."""
        ...
