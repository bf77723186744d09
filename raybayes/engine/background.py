"""A function that runs beside the main thread, which stays free for signals."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Background:
    """A function in a thread, and what it has raised.

    Signals arrive in the main thread, which must be free for them: in it Train handles SIGINT itself, and Tune SIGUSR1.
    They would drop the running trials at a batch system's warning, where these have a checkpoint to write.
    """

    def __init__(self, function: Callable[[], None]) -> None:
        self._function = function
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._function()
        except BaseException as error:
            self._failure = error

    def wait(self, seconds: float) -> bool:
        """Wait for so long; whether the function has returned or raised."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def raise_failure(self) -> None:
        """Raise what the function has raised, if anything."""
        if self._failure is not None:
            raise self._failure
