"""One job: a configuration and a seed of a trial, as it travels to the process that trains it."""

from __future__ import annotations

import time
import traceback
from dataclasses import dataclass, field
from typing import Any, Protocol

from raybayes.contract import Action
from raybayes.store.filesystem import Storage

Key = tuple[int, int]  # trial and repeat


@dataclass(frozen=True)
class TrialRun:
    """All that a worker needs to train one repeat of one trial."""

    project: str
    config: dict[str, Any]  # dotted names that differ from the defaults
    trial: int
    repeat: int
    seed: int  # of the sweep
    storage: Storage  # the sweep's own folder
    checkpoint_every: float
    data: str | None = None
    roots: tuple[str, ...] = ()

    @property
    def key(self) -> Key:
        return self.trial, self.repeat


@dataclass(frozen=True)
class Start:
    """The desk's answer to a worker that begins: the number of this attempt, from 1; 0: the job is over already."""

    attempt: int


@dataclass(frozen=True)
class Decision:
    """The desk's answer to a report."""

    action: Action = Action.CONTINUE
    checkpoint: bool = False  # write one now, whatever the time since the last


@dataclass(frozen=True)
class Report:
    """What a worker says at one step."""

    step: int
    attempt: int
    seconds: float  # of training since the trial began, all attempts
    metrics: dict[str, float]
    last: bool = False  # the training function makes no further report
    early: bool = False  # the project knows that it says little yet: a scheduler must not stop the trial here
    memory_gib: float = 0.0  # of the worker's process, at its largest so far
    node: str = ""
    time: float = field(default_factory=time.time)


@dataclass
class TimeBreakdown:
    """Where the time of a slot went with one job, in seconds.

    Args:
        idle: there was nothing to do.
        asking: the desk looked for a configuration and wrote it down.
        starting: until the training function was called.
        training: in the training function, without what follows.
        reporting: from a report to the desk's decision.
        saving: writing checkpoints.
        tidying: putting the process back into order.
    """

    idle: float = 0.0
    asking: float = 0.0
    starting: float = 0.0
    training: float = 0.0
    reporting: float = 0.0
    saving: float = 0.0
    tidying: float = 0.0


@dataclass(frozen=True)
class RunResult:
    """A job has ended in order: what its slot says of it."""

    key: Key
    attempt: int
    spent: TimeBreakdown
    node: str = ""


class Controller(Protocol):
    """Where a worker reports: the burst itself, or a remote handle on it."""

    def start(self, key: Key, node: str) -> Start: ...
    def report(self, key: Key, report: Report) -> Decision: ...
    def saving(self, key: Key, step: int) -> None: ...


def describe_error(error: BaseException) -> str:
    """The last line first, then the traceback below our own frames: what a researcher wants to read in a table."""
    frames = traceback.extract_tb(error.__traceback__)
    shown = [frame for frame in frames if "/raybayes/engine/" not in frame.filename] or list(frames)
    where = "".join(traceback.format_list(shown)).rstrip()
    headline = "".join(traceback.format_exception_only(error)).strip()
    return f"{headline}\n{where}"
