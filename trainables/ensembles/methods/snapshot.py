"""Snapshot ensembles: one trajectory, a member at the end of each cosine cycle.

Source: Huang, Li, Pleiss, Liu, Hopcroft, Weinberger, "Snapshot Ensembles: Train 1, get M for free", ICLR 2017,
arXiv 1704.00109. Each cycle continues with the weights and the optimiser of the one before, unless `sse.cold_restarts`.
"""

from __future__ import annotations

from trainables.ensembles.run.plan import cycle_epochs
from trainables.ensembles.run.run import Run
from trainables.ensembles.run.schedules import cosine_restarts


class SnapshotRun(Run):
    def learning_rate(self, epoch: float) -> float:
        return cosine_restarts(epoch, cycle_epochs(self.config), self.config.sse.max_lr)

    def momentum(self) -> float:
        return self.config.sse.momentum

    def before_epoch(self, epoch: int) -> None:
        cycle, position = divmod(epoch, cycle_epochs(self.config))
        if self.config.sse.cold_restarts and position == 0 and cycle > 0:
            self.model = self.fresh_model(f"init-{cycle}")
            self.optimizer = self.fresh_optimizer()
