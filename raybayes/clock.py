"""The only place that reads the time, so that a test or a simulation can supply its own."""

import time
from typing import Protocol


class Clock(Protocol):
    """Wall time and elapsed time, both in seconds."""

    def now(self) -> float:
        """Seconds since the Unix epoch."""
        ...

    def elapsed(self) -> float:
        """Seconds since an arbitrary start; never runs backwards."""
        ...


class WallClock:
    """The clock of this machine."""

    def now(self) -> float:
        return time.time()

    def elapsed(self) -> float:
        return time.monotonic()


class VirtualClock:
    """A clock that stands still until `advance` is called: hours of a sweep pass in milliseconds of a test."""

    def __init__(self, start_s: float = 0.0) -> None:
        self._time_s = start_s

    def now(self) -> float:
        return self._time_s

    def elapsed(self) -> float:
        return self._time_s

    def advance(self, seconds: float) -> None:
        if seconds < 0:
            raise ValueError(f"time cannot go back by {-seconds} s")
        self._time_s += seconds


WALL = WallClock()
