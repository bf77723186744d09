"""BatchEnsemble: members share all weights except two vectors per layer.

Source: Wen, Tran, Ba, "BatchEnsemble: an Alternative Approach to Efficient Ensemble and Lifelong Learning",
ICLR 2020, arXiv 2002.06715. Member i of a layer computes ((x o r_i) W) o s_i + b_i; every member sees the whole batch,
so a step of the optimiser processes members·batch images. Batch normalisation is shared. No weight decay on r and s.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainables.ensembles.config import BatchEnsembleValues
from trainables.ensembles.run.heads import HeadsRun
from trainables.ensembles.run.layers import replace_layers


class Rank1(nn.Module):
    """A convolution or linear layer with a vector for its inputs, one for its outputs and a bias of each member.

    The input is (members·n, ...), member by member.
    """

    def __init__(self, layer: nn.Conv2d | nn.Linear, members: int, values: BatchEnsembleValues) -> None:
        super().__init__()
        outputs, inputs = layer.weight.shape[:2]
        self.values = values
        self.r = nn.Parameter(torch.empty(members, inputs))
        self.s = nn.Parameter(torch.empty(members, outputs))
        self.bias = None if layer.bias is None else nn.Parameter(torch.empty(members, outputs))
        layer.bias = None
        self.layer = layer

    def initialise(self, generator: torch.Generator) -> None:
        """r and s: random signs, or N(1, 0.5²); biases 0."""
        for vector in (self.r, self.s):
            if self.values.init == "sign":
                vector.bernoulli_(self.values.sign_probability, generator=generator).mul_(2).sub_(1)
            else:
                vector.normal_(1, 0.5, generator=generator)
        if self.bias is not None:
            self.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        """((x o r_i) W) o s_i + b_i of every member i."""
        out = self.layer(self._each(x, self.r, torch.mul))
        out = self._each(out, self.s, torch.mul)
        return out if self.bias is None else self._each(out, self.bias, torch.add)

    @staticmethod
    def _each(x: Tensor, vector: Tensor, combine: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        members = len(vector)
        shape = (members, 1, vector.shape[1], *[1] * (x.dim() - 2))
        return combine(x.unflatten(0, (members, -1)), vector.reshape(shape)).flatten(0, 1)


class BatchEnsembleRun(HeadsRun):
    def convert(self, model: nn.Module) -> None:
        members, values = self.config.members, self.config.batch_ensemble
        replace_layers(model, lambda _, m: Rank1(m, members, values) if isinstance(m, nn.Conv2d | nn.Linear) else None)

    def trained_parameters(self) -> list[Any]:
        fast = [vector for m in self.model.modules() if isinstance(m, Rank1) for vector in (m.r, m.s)]
        known = {id(vector) for vector in fast}
        slow = [parameter for parameter in self.model.parameters() if id(parameter) not in known]
        return [{"params": slow}, {"params": fast, "weight_decay": 0.0}]

    def head_logits(self, images: Tensor) -> Tensor:
        repeated = images.repeat(self.heads, 1, 1, 1)
        logits: Tensor = self.model(repeated).unflatten(0, (self.heads, -1)).transpose(0, 1)
        return logits

    def loss(self, images: Tensor, labels: Tensor) -> Tensor:
        logits = self.model(images.repeat(self.heads, 1, 1, 1))
        return functional.cross_entropy(logits, labels.repeat(self.heads))
