"""Layers without parameters: squeeze, split, logit; and whole brightness values as points of [0, 1)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainables.flows.layers.layer import Layer, halves


class Squeeze(Layer):
    """Each 2 x 2 block of pixels becomes one pixel of 4 times the channels; volume is kept."""

    def __init__(self) -> None:
        super().__init__(True)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return functional.pixel_unshuffle(x, 2), x.new_zeros(self._free(x))

    def inverse(self, y: Tensor, labels: Tensor | None = None) -> Tensor:
        return functional.pixel_shuffle(y, 2)


class Split(nn.Module):
    """The first half of the channels leaves the flow, the second half continues."""

    def __init__(self, channels: int, pictures: bool) -> None:
        super().__init__()
        self.sizes, self.axis = halves(channels), -3 if pictures else -1

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What leaves, and what continues."""
        gone, rest = x.split(self.sizes, self.axis)
        return gone, rest

    def inverse(self, gone: Tensor, rest: Tensor) -> Tensor:
        """Both halves together again."""
        return torch.cat([gone, rest], self.axis)


class Logit(Layer):
    """x in [0, 1) to the whole line: s = alpha/2 + (1 - alpha) x, y = log s - log(1 - s), element by element."""

    def __init__(self, alpha: float = 0.05) -> None:
        super().__init__(True)
        self.alpha = alpha

    def forward(self, x: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        s = self.alpha / 2 + (1 - self.alpha) * x
        log_s, log_rest = s.log(), torch.log1p(-s)
        elements = math.prod(x.shape[-3:])
        log_det = -(log_s + log_rest).sum((-3, -2, -1)) + elements * math.log1p(-self.alpha)
        return log_s - log_rest, log_det

    def inverse(self, y: Tensor, labels: Tensor | None = None) -> Tensor:
        return (torch.sigmoid(y) - self.alpha / 2) / (1 - self.alpha)


def dequantise(images: Tensor, noise: Tensor) -> Tensor:
    """(v + u) / 256: whole brightness values to a density on [0, 1).

    Args:
        images: uint8.
        noise: the same shape, uniform on [0, 1).
    """
    return (images.to(noise.dtype) + noise) / 256


def quantise(x: Tensor) -> Tensor:
    """The uint8 image that a point of [0, 1)^D stands for; points outside map to the nearest value."""
    return (x * 256).floor().clamp(0, 255).to(torch.uint8)
