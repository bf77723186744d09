"""Live progress in a notebook: one table in the output of the cell, which is updated in place."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

from raybayes.reporting.stages import Stages, Ticker
from raybayes.reporting.tables.notebook import render_table
from raybayes.reporting.terminal.live import best_line
from raybayes.search.progress import Progress
from raybayes.wording import in_five_digits

MOST_RUNNING, MOST_ENDED = 12, 5
_TICK_S = 1.0


class NotebookView:
    """Shows the progress of a burst below a cell; use it as a context manager and pass `show` as `watch`.

    Args:
        title: what is run.
    """

    def __init__(self, title: str) -> None:
        self._title, self._progress, self._stages = title, Progress(0), Stages()
        self._notes: list[str] = []
        self._lock = threading.Lock()
        self._handle: Any = None
        self._ticker: Ticker | None = None

    def __enter__(self) -> NotebookView:
        import IPython.display

        self._handle = IPython.display.display({"text/html": self.render()}, raw=True, display_id=True)
        self._ticker = Ticker(self._tick, _TICK_S)
        return self

    def __exit__(self, *_: object) -> None:
        if self._ticker is not None:
            self._ticker.stop()
        self._update()

    def show(self, progress: Progress) -> None:
        """Take in the newest state."""
        self._notes += self._stages.on_progress(progress)
        self._progress = progress
        self._update()

    def _tick(self) -> None:
        if self._stages.current():
            self._update()

    def _update(self) -> None:
        with self._lock, contextlib.suppress(OSError):  # the notebook may be closed: the sweep continues without it
            self._handle.update({"text/html": self.render()}, raw=True)

    def render(self) -> str:
        """The table now, as HTML."""
        progress = self._progress
        rows = [
            [str(one.trial), "running", str(one.step), "" if one.value is None else in_five_digits(one.value), ""]
            for one in progress.running[:MOST_RUNNING]
        ]
        rows += [
            [
                str(one.trial),
                one.state.lower(),
                "",
                "" if one.value is None else in_five_digits(one.value),
                (one.error or "").partition("\n")[0],
            ]
            for one in reversed(progress.ended[-MOST_ENDED:])
        ]
        done = f"{sum(progress.states.values())} of {progress.wanted} trials" if progress.wanted else ""
        stage, best = self._stages.current(), best_line(progress) if progress.best else ""
        caption = "; ".join(part for part in (f"{self._title}: {done or stage}", best, stage if done else "") if part)
        notes = f" ({'; '.join(self._notes)})" if self._notes else ""
        return render_table(["trial", "state", "step", "value", ""], rows, caption + notes)
