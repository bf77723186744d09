"""What a configuration will do, counted before anything is trained: runs, steps, members.

A **step** is one report: one epoch of training of one run, or one member drawn from a run that has been trained. The
steps of all runs are added up, so that the same number of steps means the same cost under every method and on any
number of workers.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass

from trainables.ensembles.config import Config


@dataclass(frozen=True)
class Plan:
    """The shape of a full run.

    Args:
        runs: independent training runs; workers share them out.
        epochs: training epochs of one run.
        snapshots: after how many epochs of its run each trained member is taken, ascending.
        draws: members that each run draws after its last epoch.
        heads: members in one snapshot (networks that hold several members).
    """

    runs: int
    epochs: int
    snapshots: tuple[int, ...] = ()
    draws: int = 0
    heads: int = 1

    @property
    def steps_per_run(self) -> int:
        return self.epochs + self.draws

    @property
    def steps(self) -> int:
        """Reports of a full run."""
        return self.runs * self.steps_per_run

    @property
    def members_per_run(self) -> int:
        return len(self.snapshots) * self.heads + self.draws

    @property
    def members(self) -> int:
        return self.runs * self.members_per_run

    def members_before(self, step: int) -> int:
        """How many members a run has yielded before its step number `step`."""
        trained = bisect.bisect_left(self.snapshots, min(step, self.epochs) + 1) * self.heads
        return trained + max(step - self.epochs, 0)

    def cost_epochs(self, member: int) -> int:
        """Epochs of training that members 0 .. `member` took, when one run is trained after the other."""
        run, inner = divmod(member, self.members_per_run)
        snapshot = inner // self.heads
        return run * self.epochs + (self.snapshots[snapshot] if snapshot < len(self.snapshots) else self.epochs)


def plan(config: Config) -> Plan:
    """The plan of a configuration."""
    if config.method == "deep_ensemble":
        return Plan(runs=config.members, epochs=config.epochs, snapshots=(config.epochs,))
    if config.method == "snapshot":
        ends = [(config.sse.skip_cycles + k + 1) * config.sse.cycle_epochs for k in range(config.members)]
        return Plan(runs=1, epochs=ends[-1], snapshots=tuple(ends))
    if config.tta:  # one network seen through K draws of the augmentation
        return Plan(runs=1, epochs=config.epochs, draws=config.members)
    return Plan(runs=1, epochs=config.epochs, snapshots=(config.epochs,))


def max_steps(config: Config) -> int:
    """How many reports a full run makes."""
    return plan(config).steps
