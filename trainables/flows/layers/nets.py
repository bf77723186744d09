"""The nets inside couplings: what they return scales and shifts the other half, so nothing here needs an inverse.

Every net is called as `net(x, labels)` and ends in a layer that is zero at the start, so that a coupling starts as a
fixed scaling; the toy nets of the released code do not, which `zero=False` keeps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainables.flows.layers.actnorm import ActNorm

_Weighted = TypeVar("_Weighted", nn.Linear, nn.Conv2d)


@dataclass(frozen=True)
class NetValues:
    """What nets are made of.

    Args:
        generator: draws the weights at the start.
        width: hidden channels.
        blocks: residual blocks, or hidden layers of a plain net.
        bfloat16: whether the inside runs in bfloat16 while training.
    """

    generator: torch.Generator
    width: int
    blocks: int
    bfloat16: bool = False


class Net(nn.Module):
    """A net whose inside may run in bfloat16 while training; scales, shifts and log-determinants stay in float32."""

    def __init__(self, values: NetValues) -> None:
        super().__init__()
        self.in_bfloat16 = values.bfloat16

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """From the kept channels to scales and shifts of the others."""
        if not (self.in_bfloat16 and self.training):
            return self.inside(x, labels)
        with torch.autocast(x.device.type, torch.bfloat16):
            return self.inside(x, labels).to(x.dtype)

    def inside(self, x: Tensor, labels: Tensor | None) -> Tensor:
        """The net itself."""
        raise NotImplementedError


class ResidualBlock(nn.Module):
    """x + conv(relu(conv(relu(x)))), 3 x 3, the edges reflected."""

    def __init__(self, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.first = convolution(width, width, 3, generator, "reflect")
        self.second = convolution(width, width, 3, generator, "reflect")

    def forward(self, x: Tensor) -> Tensor:
        change: Tensor = self.second(functional.relu(self.first(functional.relu(x))))
        return x + change


class ResidualNet(Net):
    """3 x 3 convolution, residual blocks, ActNorm, ReLU, 3 x 3 convolution from zero: the released code's net."""

    def __init__(self, channels: int, out: int, values: NetValues) -> None:
        super().__init__(values)
        self.enter = convolution(channels, values.width, 3, values.generator)
        self.blocks = nn.Sequential(*(ResidualBlock(values.width, values.generator) for _ in range(values.blocks)))
        self.norm = ActNorm(values.width, pictures=True)
        self.leave = from_zero(convolution(values.width, out, 3, values.generator))

    def inside(self, x: Tensor, labels: Tensor | None) -> Tensor:
        out: Tensor = self.leave(functional.relu(self.norm(self.blocks(self.enter(x)))[0]))
        return out


class GlowNet(Net):
    """3 x 3, then `blocks` 1 x 1 convolutions, then 3 x 3 from zero: the net of Glow, which has one of them."""

    def __init__(self, channels: int, out: int, values: NetValues) -> None:
        super().__init__(values)
        inner: list[nn.Module] = [convolution(channels, values.width, 3, values.generator), nn.ReLU()]
        for _ in range(values.blocks):
            inner += [convolution(values.width, values.width, 1, values.generator), nn.ReLU()]
        self.layers = nn.Sequential(*inner, from_zero(convolution(values.width, out, 3, values.generator)))

    def inside(self, x: Tensor, labels: Tensor | None) -> Tensor:
        out: Tensor = self.layers(x)
        return out


class Mlp(Net):
    """`blocks` hidden layers on vectors; without `zero`, leaky rectifiers and an ordinary last layer: the toys' net."""

    def __init__(self, channels: int, out: int, values: NetValues, zero: bool = True) -> None:
        super().__init__(values)
        inner: list[nn.Module] = []
        for size in [channels] + [values.width] * (values.blocks - 1):
            inner += [linear(size, values.width, values.generator), nn.ReLU() if zero else nn.LeakyReLU()]
        last = linear(values.width, out, values.generator)
        self.layers = nn.Sequential(*inner, from_zero(last) if zero else last)

    def inside(self, x: Tensor, labels: Tensor | None) -> Tensor:
        out: Tensor = self.layers(x)
        return out


class ClassBias(nn.Module):
    """What a label adds to a hidden layer: W_e e(y), e the rows of a table that starts as the identity.

    As W [x; e(y)] = W_x x + W_e e(y), this is the same as concatenating e(y) to the layer's input, but the product
    with x is computed once for all classes. How far apart the classes start decides how soon the likelihood uses the
    labels: as small as a concatenated label starts, it mostly explains classes by what they share.

    Args:
        inputs: channels of x, which the scale of W_e depends on where `scale` is None.
        learned: whether e is trained, or stays one-hot.
        scale: deviation of W_e at the start; None: torch's uniform start of a layer with inputs + classes inputs.
    """

    def __init__(
        self, classes: int, inputs: int, width: int, learned: bool, scale: float | None, generator: torch.Generator
    ) -> None:
        super().__init__()
        limit = 1 / math.sqrt(inputs + classes)
        weight = torch.empty(classes, width)
        if scale is None:
            weight.uniform_(-limit, limit, generator=generator)
        else:
            weight.normal_(0, scale, generator=generator)
        self.weight = nn.Parameter(weight)
        self.embedding = nn.Parameter(torch.eye(classes)) if learned else None

    def forward(self, labels: Tensor) -> Tensor:
        """Shape of `labels`, then the width."""
        table = self.weight if self.embedding is None else self.embedding @ self.weight
        return table[labels]


class ConditionalMlp(Net):
    """Linear layer with a bias of the class, residual blocks, ActNorm, ReLU, linear layer from zero."""

    def __init__(
        self,
        channels: int,
        out: int,
        values: NetValues,
        classes: int,
        learned: bool = True,
        label_scale: float | None = 1.0,
    ) -> None:
        super().__init__(values)
        width, generator = values.width, values.generator
        self.enter = linear(channels, width, generator)
        self.label = ClassBias(classes, channels, width, learned, label_scale, generator)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.ReLU(), linear(width, width, generator), nn.ReLU(), linear(width, width, generator))
            for _ in range(values.blocks)
        )
        self.norm = ActNorm(width)
        self.leave = from_zero(linear(width, out, generator))

    def inside(self, x: Tensor, labels: Tensor | None) -> Tensor:
        if labels is None:
            raise ValueError("a conditional net needs labels")
        hidden = self.enter(x) + self.label(labels)
        for block in self.blocks:
            hidden = hidden + block(hidden)
        out: Tensor = self.leave(functional.relu(self.norm(hidden)[0]))
        return out


def linear(inputs: int, outputs: int, generator: torch.Generator) -> nn.Linear:
    """A linear layer whose weights come from the generator, with torch's own scale; torch's constructor draws none."""
    made: nn.Linear = nn.utils.skip_init(nn.Linear, inputs, outputs)
    return _drawn(made, inputs, generator)


def convolution(inputs: int, outputs: int, size: int, generator: torch.Generator, edges: str = "zeros") -> nn.Conv2d:
    """The same for a convolution that keeps the picture's size; `edges` is "zeros" or "reflect"."""
    made: nn.Conv2d = nn.utils.skip_init(nn.Conv2d, inputs, outputs, size, padding=size // 2, padding_mode=edges)
    return _drawn(made, inputs * size * size, generator)


def _drawn(layer: _Weighted, fan_in: int, generator: torch.Generator) -> _Weighted:
    limit = 1 / math.sqrt(fan_in)
    for values in layer.parameters():  # the weight, then the bias
        nn.init.uniform_(values, -limit, limit, generator=generator)
    return layer


def from_zero(layer: _Weighted) -> _Weighted:
    """The layer with all its weights at zero."""
    for values in layer.parameters():
        nn.init.zeros_(values)
    return layer
