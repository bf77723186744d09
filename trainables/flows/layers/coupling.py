"""Couplings: one part of the values is scaled and shifted by a net of the other part."""

from __future__ import annotations

from typing import Literal, assert_never

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from trainables.flows.layers.layer import Layer, halves

Bound = Literal["tanh", "sigmoid", "half"]

_TANH_LIMIT = 2.0  # |log s| stays below it
_FLOORS = {"sigmoid": 1e-2, "half": 0.5}  # s stays above it


def log_scale(raw: Tensor, bound: Bound) -> Tensor:
    """The logarithm of a scale that stays away from 0, so that an inverse exists in floating point.

    tanh: log s = 2 tanh(raw / 2), s in (0.14, 7.4), s = 1 at raw = 0. sigmoid: s = 0.01 + 0.99 sigmoid(raw + 2), the
    released code's form with a floor; s = 0.882 at raw = 0. Without a floor, log s of a badly scaled net underflows
    and the inverse is NaN even in float64. half: the same form with the floor 1/2, s in (1/2, 1): what a chain of
    couplings divides by when it is inverted stays so near to 1 that deep flows on pictures keep an inverse.
    """
    match bound:
        case "tanh":
            return _TANH_LIMIT * torch.tanh(raw / _TANH_LIMIT)
        case "sigmoid" | "half":
            return torch.log(_FLOORS[bound] + (1 - _FLOORS[bound]) * torch.sigmoid(raw + 2))
        case _ as unknown:
            assert_never(unknown)


class _WithNets(Layer):
    """What couplings share: the bound of the scale, and nets that may be recomputed to save memory."""

    def __init__(self, pictures: bool, bound: Bound, recompute: bool) -> None:
        super().__init__(pictures)
        self.bound: Bound = bound
        self.recompute = recompute

    def _scale_and_shift(self, net: nn.Module, x: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor]:
        if self.recompute and self.training and torch.is_grad_enabled():
            out = checkpoint(net, x, labels, use_reentrant=False)
        else:
            out = net(x, labels)
        raw, shift = out.chunk(2, -3 if self.pictures else -1)
        return log_scale(raw, self.bound), shift


class Coupling(_WithNets):
    """Both halves of the channels, one after the other, each scaled and shifted by a net of the other half.

        x1 <- (x1 + t1) s1,  (s1, t1) = net1(x2);      x2 <- (x2 + t2) s2,  (s2, t2) = net2(x1 new)

    With nets that look at the labels it is the conditional coupling of the semi-conditional flow.

    Args:
        first: net from the second half to 2 x the channels of the first half; `second` the other way round.
    """

    def __init__(
        self,
        channels: int,
        first: nn.Module,
        second: nn.Module,
        pictures: bool = False,
        bound: Bound = "tanh",
        recompute: bool = False,
    ) -> None:
        super().__init__(pictures, bound, recompute)
        self.sizes = halves(channels)
        self.first, self.second = first, second

    def forward(self, x: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x1, x2 = x.split(self.sizes, -3 if self.pictures else -1)
        log_s1, t1 = self._scale_and_shift(self.first, x2, labels)
        x1 = (x1 + t1) * log_s1.exp()
        log_s2, t2 = self._scale_and_shift(self.second, x1, labels)
        x2 = (x2 + t2) * log_s2.exp()
        return self._joined(x1, x2), self._summed(log_s1) + self._summed(log_s2)

    def inverse(self, y: Tensor, labels: Tensor | None = None) -> Tensor:
        x1, x2 = y.split(self.sizes, -3 if self.pictures else -1)
        log_s2, t2 = self._scale_and_shift(self.second, x1, labels)
        x2 = x2 * (-log_s2).exp() - t2
        log_s1, t1 = self._scale_and_shift(self.first, x2, labels)
        return self._joined(x1 * (-log_s1).exp() - t1, x2)

    def _joined(self, x1: Tensor, x2: Tensor) -> Tensor:
        if self.pictures:
            return torch.cat([x1, x2], -3)
        free = torch.broadcast_shapes(x1.shape[:-1], x2.shape[:-1])
        return torch.cat([x1.expand(*free, -1), x2.expand(*free, -1)], -1)


class Checkerboard(_WithNets):
    """y = m x + (1 - m) (x s + t) with (s, t) = net(m x); the mask m alternates over pixels, so odd sizes work too.

    Args:
        net: from channels to 2 x channels.
        parity: 0 or 1, which of the two boards m is.
    """

    def __init__(self, net: nn.Module, parity: int, bound: Bound = "tanh", recompute: bool = False) -> None:
        super().__init__(True, bound, recompute)
        self.net, self.parity = net, parity

    def forward(self, x: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        keep = self._mask(x)
        log_s, t = self._masked(x * keep, labels, 1 - keep)
        return x * log_s.exp() + t, self._summed(log_s)

    def inverse(self, y: Tensor, labels: Tensor | None = None) -> Tensor:
        keep = self._mask(y)
        log_s, t = self._masked(y * keep, labels, 1 - keep)
        return (y - t) * (-log_s).exp()

    def _mask(self, x: Tensor) -> Tensor:
        rows, columns = (torch.arange(size, device=x.device) for size in x.shape[-2:])
        return ((rows[:, None] + columns + self.parity) % 2).to(x.dtype)

    def _masked(self, kept: Tensor, labels: Tensor | None, change: Tensor) -> tuple[Tensor, Tensor]:
        log_s, t = self._scale_and_shift(self.net, kept, labels)
        return log_s * change, t * change
