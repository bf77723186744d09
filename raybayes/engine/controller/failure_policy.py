"""What follows when the process that trains a job is gone: killed, out of memory, or with its node."""

from __future__ import annotations

from dataclasses import dataclass

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 5.0
START_LIMIT_S = 120.0  # Ray needs 15 to 30 s to find that a node is dead, and sends workers to it until then


@dataclass
class FailurePolicy:
    """The losses of one job in this burst.

    A worker that never said a word was most likely sent to a node that is dead. That says nothing about the trial, so
    it does not count against the retries; the next one is sent a little later.
    """

    counted: int = 0
    pause_s: float = 0.0
    silent_since: float | None = None  # when a worker first failed to start, since the last one that did

    def one_more(self, now: float, counts: bool, retries: int, reason: str) -> str | None:
        """Take note of a loss.

        Args:
            now: seconds on any clock that only goes forward.
            counts: whether it is one of the retries.
            retries: losses after which the job is given up.
            reason: how Ray explains it.

        Returns:
            The error that ends the job, or None: it may go on after `pause_s`.
        """
        if counts:
            self.counted, self.pause_s, self.silent_since = self.counted + 1, 0.0, None
            times = "once" if self.counted == 1 else f"{self.counted} times"
            return f"its worker was lost {times}; the last time: {reason}" if self.counted > retries else None
        if self.silent_since is None:
            self.silent_since, self.pause_s = now, FIRST_PAUSE_S
        else:
            self.pause_s = min(2 * self.pause_s, LONGEST_PAUSE_S)
        if now - self.silent_since > START_LIMIT_S:
            return f"no worker could be started for it in {now - self.silent_since:.0f} s; the last time: {reason}"
        return None
