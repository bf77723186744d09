"""What a burst does until its first report, and for how long: so that nobody waits without knowing for what."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from raybayes.search.progress import Progress

NAMED_S = 2.0  # a stage that takes longer is named with its seconds
QUIET_S = 5.0  # the longest silence before the first report
_LONG_S, _LONG_QUIET_S = 30.0, 30.0  # a first report that takes longer than the one is waited for in steps of the other


class Stages:
    """Names the stages of a burst up to its first report.

    Args:
        elapsed: a clock in seconds.
    """

    def __init__(self, elapsed: Callable[[], float] = time.monotonic) -> None:
        self._elapsed = elapsed
        self._began = self._since = self._said = elapsed()
        self._stage, self._lock = "starting", threading.Lock()

    def on_progress(self, progress: Progress) -> list[str]:
        """Lines about the stages that have ended with this progress."""
        with self._lock:
            stage, now = progress.waits_for, self._elapsed()
            if stage == self._stage or not self._stage:
                return []
            before, took = self._stage, now - self._since
            self._stage, self._since = stage, now
            lines = [f"{before}: {took:.1f} s"] if took > NAMED_S else []
            if not stage and progress.ended + progress.running:
                lines.append(f"first report after {now - self._began:.1f} s")
            self._said = now if lines else self._said
            return lines

    def current(self) -> str:
        """The stage now, with its seconds; empty after the first report."""
        with self._lock:
            return f"{self._stage}, {self._elapsed() - self._since:.0f} s" if self._stage else ""

    def overdue(self) -> str:
        """The stage now, if nothing was said for too long; else empty."""
        with self._lock:
            now = self._elapsed()
            quiet = QUIET_S if now - self._began <= _LONG_S else _LONG_QUIET_S
            if not self._stage or now - self._said < quiet - 0.5:
                return ""
            self._said = now
            return f"{self._stage}, {now - self._since:.0f} s"


class Ticker:
    """Calls a function again and again in a thread of its own, until it is stopped.

    Args:
        call: what is called.
        every_s: seconds between two calls.
    """

    def __init__(self, call: Callable[[], None], every_s: float) -> None:
        self._call, self._every_s, self._over = call, every_s, threading.Event()
        self._thread = threading.Thread(target=self._run, name="raybayes-progress", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.wait(self._every_s):
            self._call()

    def stop(self) -> None:
        """Return when no call is left."""
        self._over.set()
        self._thread.join()
