"""MC dropout: one network with dropout masks at test time too; a member is one draw of masks per image.

Source: Gal, Ghahramani, "Dropout as a Bayesian Approximation", ICML 2016, arXiv 1506.02142. Batch statistics stay those
of the training.
"""

from __future__ import annotations

from trainables.ensembles.architectures.dropout import set_dropout, set_noise
from trainables.ensembles.run.interface import Predictions
from trainables.ensembles.run.run import Run


class DropoutRun(Run):
    def draw(self, k: int) -> Predictions:
        set_noise(self.model, self.device_rng(f"masks-{k}"))
        set_dropout(self.model, active=True)
        try:
            return self.predict(self.model, f"draw-{k}")
        finally:
            set_dropout(self.model, active=None)
