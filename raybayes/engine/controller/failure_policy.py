"""What follows when a run's worker is lost: killed, out of memory, or gone with its node."""

from __future__ import annotations

from dataclasses import dataclass

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 5.0
START_LIMIT_S = 120.0  # Ray needs 15 to 30 s to notice that a node is dead, and sends workers to it until then


@dataclass
class FailurePolicy:
    """Counts the lost workers of one run in this burst.

    A worker that never started was most likely sent to a dead node. That says nothing about the trial, so it does not
    count against the retries; the next worker is requested a little later.
    """

    counted: int = 0
    pause_s: float = 0.0
    not_starting_since: float | None = None  # when a worker first failed to start, since the last one that did

    def on_loss(self, now: float, counts: bool, retries: int, reason: str) -> str | None:
        """Count a lost worker.

        Args:
            now: seconds of any clock that only goes forward.
            counts: whether it counts against the retries.
            retries: losses that a run survives.
            reason: the executor's explanation.

        Returns:
            The error that fails the run, or None: it may start again after `pause_s`.
        """
        if counts:
            self.counted, self.pause_s, self.not_starting_since = self.counted + 1, 0.0, None
            times = "once" if self.counted == 1 else f"{self.counted} times"
            return f"its worker was lost {times}; the last time: {reason}" if self.counted > retries else None
        if self.not_starting_since is None:
            self.not_starting_since, self.pause_s = now, FIRST_PAUSE_S
        else:
            self.pause_s = min(2 * self.pause_s, LONGEST_PAUSE_S)
        waited = now - self.not_starting_since
        if waited > START_LIMIT_S:
            return f"no worker could be started for it in {waited:.0f} s; the last time: {reason}"
        return None
