"""One job: a configuration and a seed of a trial, as it travels to the process that trains it."""

from __future__ import annotations

import contextlib
import random
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from raybayes.contract import Action
from raybayes.store.filesystem import Storage


@dataclass(frozen=True)
class Job:
    """All that a worker needs to train one repeat of one trial."""

    project: str
    config: dict[str, Any]  # dotted names that differ from the defaults
    trial: int
    repeat: int
    seed: int  # of the sweep
    storage: Storage  # the sweep's own folder
    every_s: float
    data: str | None = None
    roots: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[int, int]:
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
    node: str = ""
    time: float = field(default_factory=time.time)


class Desk(Protocol):
    """Where a worker reports: the burst itself, or a remote handle on it."""

    def start(self, key: tuple[int, int], node: str) -> Start: ...
    def report(self, key: tuple[int, int], report: Report) -> Decision: ...
    def saving(self, key: tuple[int, int], step: int) -> None: ...
    def finish(self, key: tuple[int, int], error: str | None) -> None: ...


@contextlib.contextmanager
def isolated(seed: int, threads: int) -> Iterator[None]:
    """Give a trial its own global generators and thread count, and put the caller's back afterwards.

    Trainables draw from `ctx.rng`; this covers what they cannot reach (a library's dropout, say), so that a trial's
    numbers do not depend on what its process did before.
    """
    import numpy as np
    import torch

    python_state, numpy_state, threads_before = random.getstate(), np.random.get_state(), torch.get_num_threads()
    torch.set_num_threads(threads)
    devices = list(range(torch.cuda.device_count()))
    try:
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed)
            random.seed(seed)
            np.random.seed(seed % 2**32)
            yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
        torch.set_num_threads(threads_before)


def describe_error(error: BaseException) -> str:
    """The last line first, then the traceback below our own frames: what a researcher wants to read in a table."""
    frames = traceback.extract_tb(error.__traceback__)
    shown = [frame for frame in frames if "/raybayes/engine/" not in frame.filename] or list(frames)
    where = "".join(traceback.format_list(shown)).rstrip()
    headline = "".join(traceback.format_exception_only(error)).strip()
    return f"{headline}\n{where}"
