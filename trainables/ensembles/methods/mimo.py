"""Multi-input multi-output networks: one network takes one image per head and classifies each of them.

Source: Havasi et al., "Training independent subnetworks for robust prediction", ICLR 2021, arXiv 2010.06610. In
training the heads see independent shuffles of the batch, at test time all see the same image.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainables.ensembles.run.heads import HeadsRun
from trainables.ensembles.run.layers import head_of, numeric_padding, pair, weight_layers


class MimoRun(HeadsRun):
    def convert(self, model: nn.Module) -> None:
        heads = self.config.members
        name, first = next(iter(weight_layers(model).items()))
        parent, _, attribute = name.rpartition(".")
        setattr(model.get_submodule(parent), attribute, widened(first, heads))
        head = head_of(model)
        model.head = nn.Linear(head.in_features, heads * head.out_features)

    def before_epoch(self, epoch: int) -> None:
        self.shuffles = self.rng(f"shuffles-{epoch}")

    def head_logits(self, images: Tensor) -> Tensor:
        logits: Tensor = self.model(images.repeat(1, self.heads, 1, 1)).unflatten(1, (self.heads, -1))
        return logits

    def loss(self, images: Tensor, labels: Tensor) -> Tensor:
        group = self.config.mimo
        orders = shuffled_rows(len(labels), self.heads, group.batch_repetition, group.input_repetition, self.shuffles)
        orders = orders.to(images.device)
        mixed = torch.cat([images[rows] for rows in orders], dim=1)
        logits = self.model(mixed).unflatten(1, (self.heads, -1))
        return functional.cross_entropy(logits.transpose(0, 1).flatten(0, 1), labels[orders].flatten())


def widened(first: nn.Conv2d | nn.Linear, heads: int) -> nn.Conv2d | nn.Linear:
    """The first layer of a network, widened for the concatenated images of all heads."""
    if isinstance(first, nn.Linear):
        return nn.Linear(heads * first.in_features, first.out_features, bias=first.bias is not None)
    return nn.Conv2d(
        heads * first.in_channels,
        first.out_channels,
        pair(first.kernel_size),
        pair(first.stride),
        numeric_padding(first),
        bias=first.bias is not None,
    )


def shuffled_rows(
    n: int, heads: int, batch_repetition: int, input_repetition: float, generator: torch.Generator
) -> Tensor:
    """The image that each head sees, (heads, n·batch_repetition): independent orders, except for repeated inputs."""
    rows = torch.arange(n).repeat(batch_repetition)
    rows = rows[torch.randperm(len(rows), generator=generator)]
    kept = round(input_repetition * len(rows))
    same, mixed = rows[:kept], rows[kept:]
    shuffled = [mixed[torch.randperm(len(mixed), generator=generator)] for _ in range(heads)]
    return torch.stack([torch.cat([same, order]) for order in shuffled])
