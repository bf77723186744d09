"""Processor time by phase, for comparisons at equal processor time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

PHASES = ("rollin", "rollout", "backward", "training")


class Stopwatch:
    """Processor seconds of this process (all threads), summed by phase; "training" covers whole steps."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(PHASES, 0.0)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the time of the block to a phase."""
        began = time.process_time()
        try:
            yield
        finally:
            self.seconds[name] += time.process_time() - began
