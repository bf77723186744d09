"""Networks that hold several members: one training run, all members at its end."""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor
from torch.nn import functional

from trainables.ensembles.data.pictures import Images
from trainables.ensembles.run.interface import Predictions
from trainables.ensembles.run.run import Run, passes


class HeadsRun(Run):
    """A run whose network gives logits of all members at once."""

    @property
    def heads(self) -> int:
        return self.config.members

    @abstractmethod
    def head_logits(self, images: Tensor) -> Tensor:
        """Logits of every member for the same normalised images, (n, heads, classes)."""

    def loss(self, images: Tensor, labels: Tensor) -> Tensor:
        logits = self.head_logits(images)
        return functional.cross_entropy(logits.flatten(0, 1), labels.repeat_interleave(self.heads))

    def members_now(self, label: str) -> list[Predictions]:
        members: list[Predictions] = [{} for _ in range(self.heads)]
        for name, split in self.data.predicted.items():
            shared = None if self.config.tta else self.head_log_probabilities(split.images)
            for head, member in enumerate(members):
                lp = shared
                if lp is None:
                    lp = self.head_log_probabilities(self.seen(split, f"{label}/{head}/{name}"))
                member[name] = lp[:, head].contiguous()
        return members

    def current(self, split: str) -> Tensor:
        lp = self.head_log_probabilities(self.data.scored[split].images)
        return lp.logsumexp(1) - math.log(self.heads)

    def head_log_probabilities(self, images: Images) -> Tensor:
        """(n, heads, classes) float32 log-probabilities on the CPU of uint8 images."""
        self.model.eval()
        with torch.no_grad():
            parts = [
                functional.log_softmax(self.head_logits(self.data.normalise(part)), dim=2) for part in passes(images)
            ]
        return torch.cat(parts).cpu()
