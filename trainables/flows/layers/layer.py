"""Invertible layers: each maps x to (y, log|det dy/dx|) and has an exact inverse.

Two layouts are used. Pictures are (batch, channels, height, width). Vectors are (..., channels), where the axes before
the last one are free: the conditional part of a flow works on (batch, 1, d), which a class bias of shape (classes,
width) widens to (batch, classes, d), so that all classes are computed at once and what does not depend on the class is
computed once. `labels` are class numbers of any shape that fits the axes before the last one: (batch,) for one label a
row, (classes,) for every class; layers without a condition do not look at them.

log-determinants have the shape of the axes that are not channels, height or width: (batch,) for pictures.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Generic, Self, TypeVar, overload

import torch
from torch import Tensor, nn

Member = TypeVar("Member", bound=nn.Module)


class LayerList(nn.ModuleList, Generic[Member]):
    """A ModuleList that tells type checkers what it holds; nothing else differs."""

    if TYPE_CHECKING:

        def __iter__(self) -> Iterator[Member]: ...

        @overload
        def __getitem__(self, idx: slice) -> Self: ...

        @overload
        def __getitem__(self, idx: int) -> Member: ...

        def __getitem__(self, idx: int | slice) -> Member | Self: ...


class Layer(nn.Module):
    """An invertible map; `pictures` says which layout it works on."""

    def __init__(self, pictures: bool = False) -> None:
        super().__init__()
        self.pictures = pictures

    def forward(self, x: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The image of x and log|det dy/dx|."""
        raise NotImplementedError

    def inverse(self, y: Tensor, labels: Tensor | None = None) -> Tensor:
        """The x that `forward` maps to y."""
        raise NotImplementedError

    def _per_channel(self, values: Tensor) -> Tensor:
        return values.view(-1, 1, 1) if self.pictures else values

    def _free(self, x: Tensor) -> torch.Size:
        """Shape of the log-determinant."""
        return x.shape[:-3] if self.pictures else x.shape[:-1]

    def _pixels(self, x: Tensor) -> int:
        return x.shape[-1] * x.shape[-2] if self.pictures else 1

    def _summed(self, log_scale: Tensor) -> Tensor:
        return log_scale.sum((-3, -2, -1)) if self.pictures else log_scale.sum(-1)


def halves(channels: int) -> tuple[int, int]:
    """How many channels the two halves of a coupling have."""
    return channels // 2, channels - channels // 2


def log_normal(z: Tensor, axes: tuple[int, ...]) -> Tensor:
    """log N(z; 0, I), summed over some axes."""
    return -0.5 * (z.square() + math.log(2 * math.pi)).sum(axes)
