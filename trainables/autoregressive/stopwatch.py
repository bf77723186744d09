"""Processor time by phase: what a comparison at equal processor time needs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

PHASES = ("rollin", "rollout", "backward", "training")


class Stopwatch:
    """Processor seconds of this process (all threads), added up by phase; "training" is the whole of every step."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(PHASES, 0.0)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add what happens inside."""
        began = time.process_time()
        try:
            yield
        finally:
            self.seconds[name] += time.process_time() - began
