"""The training function that all sides run, and what its time stamps say about a sweep."""

from __future__ import annotations

import math
import os
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path


def work(x: float, y: float, sleep_s: float, stamps: str) -> float:
    """Idle for `sleep_s` and return a squared distance; adds a line "start end" (s) to the file `stamps`, if named.

    The stamps are of the machine's monotonic clock, which all its processes share.
    """
    start = time.monotonic()
    if sleep_s:
        time.sleep(sleep_s)
    if stamps:
        line = f"{start} {time.monotonic()}\n".encode()
        handle = os.open(stamps, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(handle, line)
        os.close(handle)
    return x**2 + math.log10(y / 0.1) ** 2


@dataclass(frozen=True)
class Timing:
    """When the trials of a sweep were at work.

    Args:
        trials: how many.
        window_s: from the start of the first one's work to the end of the last one's.
        between_s: from one trial's start to the next one's, on average over the sweep.
        busy_s: work of all trials together.
        gaps_s: from the end of each trial's work to the start of the next one's, in the order of their starts.
    """

    trials: int
    window_s: float
    between_s: float
    busy_s: float
    gaps_s: tuple[float, ...] = ()

    @property
    def seconds_a_trial(self) -> float:
        """Start-up of the first trial and the tidying-up after the last one are not in it."""
        return self.window_s / self.trials

    def share(self, slots: int) -> float:
        """Part of the time of all slots, within the window, in which trials were at work."""
        return self.busy_s / (slots * self.window_s)


def timing(spans: list[tuple[float, float]]) -> Timing:
    """From each trial's (start, end). Raises ValueError below two trials: there is nothing between them."""
    if len(spans) < 2:
        raise ValueError(f"{len(spans)} trials left a time stamp; at least 2 are needed to say what one costs")
    starts = sorted(start for start, _ in spans)
    window = max(end for _, end in spans) - starts[0]
    busy = sum(end - start for start, end in spans)
    ordered = sorted(spans)
    gaps = tuple(later[0] - earlier[1] for earlier, later in pairwise(ordered))
    return Timing(len(spans), window, (starts[-1] - starts[0]) / (len(spans) - 1), busy, gaps)


def read_stamps(path: Path) -> list[tuple[float, float]]:
    """Each trial's (start, end) in seconds."""
    lines = [line.split() for line in path.read_text().splitlines()]
    return [(float(start), float(end)) for start, end in lines]
