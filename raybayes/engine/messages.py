"""What the controller and its workers say to each other: plain records that pickle, and the protocol between them."""

from __future__ import annotations

import time
import traceback
from dataclasses import dataclass, field
from typing import Any, Protocol

from raybayes.contract import Action
from raybayes.errors import RaybayesError, TrialError
from raybayes.store.checkpointing.owner import Owner
from raybayes.store.filesystem import Storage

Key = tuple[int, int]  # trial and repeat: what identifies a run
Process = tuple[str, int]  # the node's identifier, as the executor has it, and the process number there


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

    @property
    def owner(self) -> Owner:
        """What its checkpoints name as theirs."""
        return Owner(self.config, self.seed)


@dataclass(frozen=True)
class Assignment:
    """The controller's answer to an idle slot.

    Args:
        runs: what to train now, all of them at the same time; empty: nothing for the moment.
        over: no run will come any more; the slot can leave.
    """

    runs: tuple[TrialRun, ...] = ()
    over: bool = False


@dataclass(frozen=True)
class Start:
    """The controller's answer to a worker that starts a run.

    Args:
        attempt: the number of this attempt, from 1; 0: the run has ended already, and there is nothing to train.
    """

    attempt: int


@dataclass(frozen=True)
class Decision:
    """The controller's answer to a report."""

    action: Action = Action.CONTINUE
    checkpoint: bool = False  # write one now, however recent the last one is


@dataclass(frozen=True)
class Report:
    """What a worker reports at one step of a run."""

    step: int
    attempt: int
    seconds: float  # of training since the run began, all attempts together
    metrics: dict[str, float]
    last: bool = False  # the training function makes no further report
    early: bool = False  # before the project's grace period has passed: a scheduler must not stop the trial here
    memory_gib: float = 0.0  # peak memory of the worker's process so far
    node: str = ""
    time: float = field(default_factory=time.time)


@dataclass
class TimeBreakdown:
    """Where a slot's time went for one run, in seconds.

    Args:
        idle: waiting because there was nothing to train.
        asking: waiting until the controller had found a configuration and stored it.
        starting: until the training function was called.
        training: in the training function, without reports and checkpoints.
        reporting: from a report to the controller's decision.
        saving: writing checkpoints.
        tidying: cleaning the process up after the run.
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
    """What a slot says about a run whose training function has returned."""

    key: Key
    attempt: int
    times: TimeBreakdown
    node: str = ""


_OWN_FRAMES = ("/raybayes/engine/", "/raybayes/training/")
_OWN_ERRORS = f"{RaybayesError.__module__}."


class Controller(Protocol):
    """Where a worker reports: the `SweepController` itself in this process, a `ControllerClient` on Ray."""

    def start_run(self, key: Key, node: str) -> Start: ...
    def on_report(self, key: Key, report: Report) -> Decision: ...
    def before_checkpoint(self, key: Key, step: int) -> None: ...


class SlotController(Controller, Protocol):
    """The controller as a slot's process sees it, which takes one run after the other."""

    def next_assignment(self, slot: int, results: tuple[RunResult, ...]) -> Assignment: ...
    def on_run_end(self, slot: int, result: RunResult) -> None: ...
    def on_run_error(self, key: Key, error: str) -> None: ...
    def on_fusion_error(self, slot: int) -> None: ...
    def on_storage_error(self, reason: str) -> None: ...
    def on_slot_leave(self, slot: int, results: tuple[RunResult, ...]) -> None: ...


def describe_error(error: BaseException) -> str:
    """The error's own line first, then its traceback without raybayes' frames: what a table of trials shows.

    What raybayes itself says of a trial is a sentence, and stands alone.
    """
    if type(error) is TrialError:
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    shown = [frame for frame in frames if not any(part in frame.filename for part in _OWN_FRAMES)] or list(frames)
    where = "".join(traceback.format_list(shown)).rstrip()
    headline = "".join(traceback.format_exception_only(error)).strip()
    return f"{headline.removeprefix(_OWN_ERRORS)}\n{where}"
