"""A trial without a sweep: what `report` was given, and what it answers."""

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from raybayes.contract import Action, Stop


class Trial:
    """A context that keeps what it is given, and stops at a report if asked to."""

    def __init__(self, folder: Path, stop_at: int = 0, state: Any = None) -> None:
        self.reports: list[Mapping[str, float]] = []
        self.states: list[Any] = []
        self.lines: list[str] = []
        self._folder, self._stop_at, self._state = folder, stop_at, state

    def report(self, metrics: Mapping[str, float], state: Callable[[], Any] | None = None) -> None:
        self.reports.append(dict(metrics))
        self.states.append(copy.deepcopy(state()) if state is not None else None)
        if len(self.reports) == self._stop_at:
            raise Stop(Action.PRUNE)

    def resume(self) -> Any:
        return self._state

    def trial_dir(self) -> Path:
        self._folder.mkdir(exist_ok=True)
        return self._folder

    def write_log(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture
def trial(tmp_path):
    return Trial(tmp_path / "trial")


@pytest.fixture
def make_trial(tmp_path):
    return lambda **more: Trial(tmp_path / "trial", **more)
