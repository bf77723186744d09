"""Signals and the wall time: what asks a burst to end early."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

from raybayes.clock import WALL
from raybayes.search.progress import Progress, Watch


class Interrupt:
    """Whether SIGINT, SIGTERM, SIGHUP, SIGUSR1 or the wall time has asked the burst to end.

    A second SIGINT ends it at once. SIGHUP comes when an ssh session is closed, and is as SIGTERM.

    Args:
        until: when the wall time is over, on WALL's elapsed time; then it is as if SIGALRM had come. None: never.
        on_request: called at each request, in the thread that notices it.

    Attributes:
        asked: set once the burst is asked to end.
        signal: the first signal that asked; None if none has.
    """

    def __init__(self, until: float | None = None, on_request: Callable[[], None] = lambda: None) -> None:
        self.asked = threading.Event()
        self.signal: signal.Signals | None = None
        self._until, self._on_request = until, on_request

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.asked.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._ask(signal.Signals(number))

    def _ask(self, number: signal.Signals) -> None:
        self.signal = self.signal or number
        self.asked.set()
        self._on_request()

    def guarded(self, watch: Watch) -> Watch:
        """The same function, which may find its terminal gone: the sweep goes on, or ends in order, without it."""

        def show(progress: Progress) -> None:
            with contextlib.suppress(OSError):
                watch(progress)

        return show

    @contextlib.contextmanager
    def listening(self) -> Iterator[Interrupt]:
        """Handle the signals for a while (only the main thread can), and watch the wall time."""
        left_s = 0.0 if self._until is None else max(0.0, self._until - WALL.elapsed())
        timer = threading.Timer(left_s, self._ask, [signal.SIGALRM])
        timer.daemon = True
        if self._until is not None:
            timer.start()
        main = threading.current_thread() is threading.main_thread()
        numbers = [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1] if main else []
        if main and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # else it was started with nohup
            numbers.append(signal.SIGHUP)
        before = {number: signal.signal(number, self._handle) for number in numbers}
        try:
            yield self
        finally:
            timer.cancel()
            for number, handler in before.items():
                signal.signal(number, handler)
