"""Fast geometric ensembling: an ordinary run, then short triangular cycles; a member in the middle of each.

Source: Garipov, Izmailov, Podoprikhin, Vetrov, Wilson, "Loss Surfaces, Mode Connectivity, and Fast Ensembling of DNNs",
NeurIPS 2018, arXiv 1802.10026.
"""

from __future__ import annotations

from trainables.ensembles.run.run import Run
from trainables.ensembles.run.schedules import triangle


class FastGeometricRun(Run):
    def learning_rate(self, epoch: float) -> float:
        if epoch < self.first_stage:
            return super().learning_rate(epoch)
        group = self.config.fge
        middle = group.ratio * group.max_lr
        offset = group.cycle_epochs / 2 if group.start_low else 0  # the rate is low in mid-cycle
        return triangle(epoch - self.first_stage + offset, group.cycle_epochs, group.max_lr, middle)

    def before_epoch(self, epoch: int) -> None:
        if epoch == self.first_stage:
            self.optimizer = self.fresh_optimizer()
