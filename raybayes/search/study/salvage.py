"""What a damaged journal still says: every line that can be read is applied, and every other one is named."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from raybayes.contract import Direction
from raybayes.search.optuna_internals import CREATE_STUDY, CREATE_TRIAL, OPERATIONS

_TRIAL = re.compile(rb'"trial_id"\s*:\s*(\d+)')


@dataclass(frozen=True)
class BrokenLine:
    """A line of a journal that says nothing: its number from 1, why, and the trials that it names."""

    line: int
    what: str
    trials: tuple[int, ...] = ()


@dataclass(frozen=True)
class Salvage:
    """What is left of a journal.

    Args:
        trials: by number, without gaps; of one whose lines are lost, what the others say.
        broken: the lines that say nothing, in order.
        torn: bytes of an incomplete last line, as a crash leaves it.
    """

    trials: Sequence[FrozenTrial] = ()
    broken: tuple[BrokenLine, ...] = ()
    torn: int = 0


class _Lines(BaseJournalBackend):
    """A journal in memory that only its reader writes to."""

    def __init__(self) -> None:
        self.logs: list[dict[str, Any]] = []

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        yield from self.logs[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        self.logs.extend(logs)


class _Replay:
    """Applies one operation after the other, and keeps count of the trials that must have been created."""

    def __init__(self, directions: Sequence[Direction], most: int) -> None:
        self._lines = _Lines()
        self.storage = JournalStorage(self._lines)
        self._directions = [int(StudyDirection[direction.upper()]) for direction in directions]
        self._most = most  # trials: no more than the journal has lines
        self._created = 0
        self._has_study = False

    def apply(self, log: dict[str, Any]) -> str | None:
        """Apply an operation; why it cannot be, or None."""
        operation = log.get("op_code")
        if operation not in OPERATIONS:
            return f"unknown operation {operation!r}"
        if "worker_id" not in log:
            return "incomplete: it has no worker_id"
        if operation == CREATE_STUDY:
            self._has_study = True
        elif not self._has_study:  # its first line is lost
            self._add(op_code=CREATE_STUDY, worker_id="", study_name="sweep", directions=self._directions)
            self._has_study = True
        trial = log.get("trial_id")
        if isinstance(trial, int) and trial >= self._created:
            if trial > self._most:
                return f"it names trial {trial}, and there cannot be so many"
            for _ in range(trial + 1 - self._created):  # the lines that created them are lost
                self._add(op_code=CREATE_TRIAL, worker_id="", study_id=0, datetime_start=None)
                self._created += 1
        problem = self._add(**log)
        self._created += operation == CREATE_TRIAL and problem is None
        return problem

    def _add(self, **log: Any) -> str | None:
        self._lines.logs.append(log)
        try:
            self.storage.get_all_studies()  # reads what is new
        except Exception as error:  # whatever Optuna makes of a line that somebody has written into
            return f"incomplete: {type(error).__name__}: {error}"
        return None


def salvage_journal(data: bytes, directions: Sequence[Direction]) -> Salvage:
    """Read what can be read of a journal.

    A line that creates a trial does not say which. If it is lost, the next line that names the trial shows it, so the
    others keep their numbers.

    Args:
        data: the file.
        directions: of the objectives, for a journal that has lost its first line.
    """
    lines = data.split(b"\n")
    torn = len(lines.pop())
    replay = _Replay(directions, len(lines))
    broken = []
    for number, line in enumerate(lines, 1):
        problem, named = _apply(replay, line)
        if problem is not None:
            broken.append(BrokenLine(number, problem, named))
    storage = replay.storage
    studies = [storage.get_study_id_from_name(study.study_name) for study in storage.get_all_studies()]
    trials = [trial for study in studies[:1] for trial in storage.get_all_trials(study)]
    return Salvage(trials, tuple(broken), torn)


def _apply(replay: _Replay, line: bytes) -> tuple[str | None, tuple[int, ...]]:
    """Why a line cannot be applied (None: it was), and the trials that it names."""
    trials = tuple(sorted({int(found) for found in _TRIAL.findall(line) if len(found) < 9}))
    try:
        log = json.loads(line)
    except ValueError:
        return "not JSON", trials
    if not isinstance(log, dict):
        return "not an operation of a journal", trials
    return replay.apply(log), trials
