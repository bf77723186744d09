"""Progress of a running burst: plain data, made by the burst, displayed by the terminal or the notebook."""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Running:
    """One run in training."""

    trial: int
    repeat: int
    step: int
    value: float | None


@dataclass(frozen=True)
class Ended:
    """One trial that ended in this burst."""

    trial: int
    state: str
    value: float | None
    error: str | None


@dataclass(frozen=True)
class Progress:
    """The state of a burst.

    Args:
        wanted: trials in total.
        states: number of ended trials by state, including earlier bursts.
        running: runs in training now.
        best: number and first objective of the best trial so far.
        best_rests_on: number of runs that its value is the mean of, and the standard error.
        ended: trials that ended in this burst, in order.
        stopping: whether the burst is shutting down.
        paused: trials that a later burst will resume (known at the end).
        stopped: why the sweep has ended by itself, in a sentence; "" if it has not.
        stage: what the burst does before it can train: "starting Ray", "opening the study"; empty after that.
    """

    wanted: int
    states: dict[str, int] = field(default_factory=dict)
    running: tuple[Running, ...] = ()
    best: tuple[int, float] | None = None
    ended: tuple[Ended, ...] = ()
    stopping: bool = False
    paused: int = 0
    best_rests_on: tuple[int, float | None] = (1, None)
    stopped: str = ""
    stage: str = ""

    @property
    def waits_for(self) -> str:
        """What the burst does until its first report, in words; empty once there is one."""
        if self.stage:
            return self.stage
        if self.ended or any(run.step for run in self.running):
            return ""
        return "waiting for the first report" if self.running else "starting slots"


Watch = Callable[[Progress], None]  # what gets the progress of a burst while it runs
