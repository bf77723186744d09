"""Packed-Ensembles: the members are groups of channels of one network and share no weights.

Source: Laurent et al., "Packed-Ensembles for Efficient Uncertainty Estimation", ICLR 2023, arXiv 2210.09184. The
network is alpha times as wide; its layers have members·gamma groups, the first and the last one `members`.
"""

from __future__ import annotations

import math

from torch import Tensor, nn

from trainables.ensembles.run.heads import HeadsRun
from trainables.ensembles.run.layers import numeric_padding, pair, replace_layers


class GroupedLinear(nn.Conv1d):
    """A linear layer in groups that do not see each other: (n, in) to (n, out)."""

    def __init__(self, inputs: int, outputs: int, groups: int) -> None:
        super().__init__(inputs, outputs, 1, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        """(n, in) to (n, out)."""
        return super().forward(x[..., None])[..., 0]


class Packing:
    """Builds the wide, grouped layers of a network, in the order in which data pass through them.

    Widths are rounded up to a multiple of members·gamma.
    """

    def __init__(self, members: int, alpha: float, gamma: int) -> None:
        self.members, self.alpha, self.groups = members, alpha, members * gamma
        self.width = 0  # of the original layer before this one; 0 before the first

    def widened(self, width: int) -> int:
        """alpha · width, rounded up to a multiple of the groups."""
        return math.ceil(self.alpha * width / self.groups - 1e-9) * self.groups

    def layer(self, name: str, module: nn.Module) -> nn.Module | None:
        """The layer that replaces a layer; None: it stays."""
        if isinstance(module, nn.BatchNorm2d):
            return nn.BatchNorm2d(self.widened(module.num_features))
        if isinstance(module, nn.Conv2d):
            return self.convolution(module)
        if isinstance(module, nn.Linear):
            return self.linear(module, last=name == "head")
        return None

    def convolution(self, conv: nn.Conv2d) -> nn.Conv2d:
        first = self.width == 0
        inputs = self.members * conv.in_channels if first else self.widened(conv.in_channels)
        self.width = conv.out_channels
        return nn.Conv2d(
            inputs,
            self.widened(conv.out_channels),
            pair(conv.kernel_size),
            pair(conv.stride),
            numeric_padding(conv),
            groups=self.members if first else self.groups,
            bias=conv.bias is not None,
        )

    def linear(self, linear: nn.Linear, last: bool) -> GroupedLinear:
        if first := self.width == 0:  # the images of all members, flattened one behind the other
            inputs = self.members * linear.in_features
        else:
            positions = linear.in_features // self.width  # pixels that were flattened behind each channel
            inputs = self.widened(self.width) * positions
        self.width = linear.out_features
        if last:
            return GroupedLinear(inputs, self.members * linear.out_features, self.members)
        return GroupedLinear(inputs, self.widened(linear.out_features), self.members if first else self.groups)


class PackedRun(HeadsRun):
    def convert(self, model: nn.Module) -> None:
        packing = Packing(self.config.members, self.config.packed.alpha, self.config.packed.gamma)
        replace_layers(model, packing.layer)

    def head_logits(self, images: Tensor) -> Tensor:
        logits: Tensor = self.model(images.repeat(1, self.heads, 1, 1)).unflatten(1, (self.heads, -1))
        return logits
