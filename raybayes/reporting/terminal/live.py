"""Live progress: a moving view on a terminal, one plain line per event in a log."""

from __future__ import annotations

import contextlib
import logging
import sys
import time

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.text import Text

from raybayes.reporting.stages import Stages, Ticker
from raybayes.reporting.terminal.console import console
from raybayes.search.progress import Progress
from raybayes.wording import in_five_digits, with_error

_TICK_S = 0.5


class ProgressView(logging.Handler):
    """Shows the progress of a burst; use it as a context manager and pass `show` as `watch`.

    Args:
        quiet: show nothing.
        trial_log: also show what training functions in this process write to `ctx.log`.
    """

    def __init__(self, title: str, quiet: bool, trial_log: bool = False) -> None:
        super().__init__(logging.INFO)
        self._console: Console = console()
        self._quiet, self._title = quiet, title
        self._seen, self._stopping = 0, False
        self._stages, self._progress = Stages(), Progress(0)
        self._bar = Bar(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
        )
        self._task = self._bar.add_task(title, total=None)
        self._live: Live | None = None
        self._ticker: Ticker | None = None
        self._trials = logging.getLogger("raybayes.trial") if trial_log and not quiet else None
        self._level_before = logging.NOTSET

    def __enter__(self) -> ProgressView:
        if not self._quiet and self._console.is_terminal:
            self._live = Live(console=self._console, refresh_per_second=4, transient=True, get_renderable=self._screen)
            self._live.start()
        elif not self._quiet:
            self._line(f"{self._title}: starting")
            self._ticker = Ticker(self._say_stage, _TICK_S)
        if self._trials is not None:
            self._level_before = self._trials.level
            self._trials.setLevel(logging.INFO)
            self._trials.addHandler(self)
        return self

    def emit(self, record: logging.LogRecord) -> None:
        """A line of a training function."""
        self._line(record.getMessage())

    def __exit__(self, *_: object) -> None:
        if self._trials is not None:
            self._trials.removeHandler(self)
            self._trials.setLevel(self._level_before)
        if self._ticker is not None:
            self._ticker.stop()
        if self._live is not None:
            self._live.stop()

    def _say_stage(self) -> None:
        """Break a long silence before the first report."""
        with contextlib.suppress(OSError, ValueError):  # the terminal is gone: the sweep continues without it
            if stage := self._stages.overdue():
                self._line(stage)

    def show(self, progress: Progress) -> None:
        """Take in the newest state."""
        if self._quiet:
            return
        self._progress = progress
        for line in self._stages.on_progress(progress):
            self._line(line)
        for ended in progress.ended[self._seen :]:
            value = "" if ended.value is None else f" {ended.value:.5g}"
            reason = f": {ended.error.splitlines()[0]}" if ended.error else ""
            self._line(f"trial {ended.trial} {ended.state}{value}{reason}{self._tally(progress)}")
        self._seen = len(progress.ended)
        if progress.stopping and not self._stopping:
            self._stopping = True
            if progress.stopped:
                self._line(f"stopped by {progress.stopped}")
            self._line("stopping: running trials write a checkpoint at their next report (Ctrl-C again stops at once)")
        if self._live is not None:
            self._bar.update(self._task, total=progress.wanted, completed=sum(progress.states.values()))

    def _screen(self) -> RenderableType:
        """The moving view at this moment."""
        stage = self._stages.current()
        return Group(self._bar, *([Text(f"  {stage}")] if stage else []), *self._running(self._progress))

    def _running(self, progress: Progress) -> list[Text]:
        lines = [Text(best_line(progress), style="green")] if progress.best else []
        for running in progress.running:
            value = "starting" if running.value is None else f"{running.value:.5g}"
            repeat = f" repeat {running.repeat}" if running.repeat else ""
            lines.append(Text(f"  trial {running.trial}{repeat}  step {running.step}  {value}"))
        return lines

    def _tally(self, progress: Progress) -> str:
        best = f", {best_line(progress)}" if progress.best else ""
        return f"  ({sum(progress.states.values())} of {progress.wanted}{best})"

    def _line(self, text: str) -> None:
        stamp = time.strftime("%H:%M:%S")
        if self._live is not None:
            self._live.console.print(f"{stamp} {text}", markup=False)
        else:
            print(f"{stamp} {text}", file=sys.stderr, flush=True)


def best_line(progress: Progress) -> str:
    """The best trial so far, and what its value rests on."""
    assert progress.best is not None
    (trial, value), (n, error) = progress.best, progress.best_rests_on
    return f"best {with_error(value, error, alone=in_five_digits)} (n = {n}) in trial {trial}"
