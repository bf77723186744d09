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
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

Bound = Literal["tanh", "sigmoid"]
MixForm = Literal["lu", "dense"]
MixStart = Literal["eye", "orthogonal"]

_TANH_LIMIT = 2.0  # |log s| stays below it
_SIGMOID_FLOOR = 1e-2  # s stays above it


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


def log_scale(raw: Tensor, bound: Bound) -> Tensor:
    """The logarithm of a scale that stays away from 0, so that an inverse exists in floating point.

    tanh: log s = 2 tanh(raw / 2), s in (0.14, 7.4), s = 1 at raw = 0. sigmoid: s = 0.01 + 0.99 sigmoid(raw + 2), the
    released code's form with a floor; s = 0.882 at raw = 0. Without a floor, log s of a badly scaled net underflows
    and the inverse is NaN even in float64.
    """
    if bound == "tanh":
        return _TANH_LIMIT * torch.tanh(raw / _TANH_LIMIT)
    return torch.log(_SIGMOID_FLOOR + (1 - _SIGMOID_FLOOR) * torch.sigmoid(raw + 2))


class ActNorm(Layer):
    """y = (x - shift) * exp(log_scale) per channel, set on the first data to mean 0 and deviation 1 (Glow, 3.1).

    The start is an explicit call (`initialising` below), made once, before compiling and before DDP; whether it
    happened is a buffer, so a loaded model is never set anew. A constant channel keeps its scale and is listed in
    `constant`.
    """

    initialised: Tensor

    def __init__(self, channels: int, pictures: bool = False) -> None:
        super().__init__(pictures)
        self.shift = nn.Parameter(torch.zeros(channels))
        self.log_scale = nn.Parameter(torch.zeros(channels))
        self.register_buffer("initialised", torch.tensor(False))
        self.learning = False  # whether the next forward pass sets shift and scale
        self.constant: list[int] = []

    def forward(self, x: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if self.learning:
            self._set(x)
        y = (x - self._per_channel(self.shift)) * self._per_channel(self.log_scale.exp())
        return y, (self._pixels(x) * self.log_scale.sum()).expand(self._free(x))

    def inverse(self, y: Tensor, labels: Tensor | None = None) -> Tensor:
        return y * self._per_channel((-self.log_scale).exp()) + self._per_channel(self.shift)

    @torch.no_grad()
    def _set(self, x: Tensor) -> None:
        channels = x.movedim(-3, 0).flatten(1) if self.pictures else x.flatten(0, -2).T
        deviation, mean = torch.std_mean(channels.float(), 1, correction=0)
        flat = deviation <= 1e-5 * (1 + mean.abs())
        self.constant = flat.nonzero().flatten().tolist()
        self.shift.copy_(mean)
        self.log_scale.copy_(torch.where(flat, 0.0, -(deviation + 1e-6).log()))
        self.initialised.fill_(True)
        self.learning = False


def initialising(model: nn.Module, run: Callable[[], object]) -> dict[str, list[int]]:
    """Let every ActNorm of a model that was not set yet be set by one forward pass, from the first layer to the last.

    Args:
        run: does the forward pass; at least 256 examples make the statistics steady.

    Returns:
        The constant channels by layer name, where there are any.
    """
    norms = {name: module for name, module in model.named_modules() if isinstance(module, ActNorm)}
    new = {name: norm for name, norm in norms.items() if not norm.initialised}
    for norm in new.values():
        norm.learning = True
    try:
        with torch.no_grad():
            run()
    finally:
        for norm in new.values():
            norm.learning = False
    return {name: norm.constant for name, norm in new.items() if norm.constant}


class Mix(Layer):
    """y = W x over channels, at every pixel (the invertible 1x1 convolution of Glow, 3.2).

    Form lu: W = P L (U + diag(sign exp(s))) with P and sign fixed, so log|det W| = sum(s) costs nothing and the
    inverse is two triangular solves. Form dense: any W, determinant and inverse in float64.
    """

    order: Tensor
    sign: Tensor

    def __init__(
        self,
        channels: int,
        pictures: bool = False,
        form: MixForm = "lu",
        start: MixStart = "eye",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(pictures)
        self.form = form
        weight = torch.eye(channels)
        if start == "orthogonal":
            weight = torch.linalg.qr(torch.randn(channels, channels, generator=generator)).Q
        if form == "dense":
            self.weight = nn.Parameter(weight.contiguous())
            return
        permutation, lower, upper = torch.linalg.lu(weight)
        diagonal = upper.diagonal()
        self.permuted = start != "eye"
        self.register_buffer("order", permutation.argmax(1))  # row i of P L U is row order[i] of L U
        self.register_buffer("sign", diagonal.sign())
        self.log_diagonal = nn.Parameter(diagonal.abs().log())
        self.triangles = nn.Parameter(lower.tril(-1) + upper.triu(1))  # L below the diagonal, U above it

    def factors(self) -> tuple[Tensor, Tensor]:
        """L without its diagonal of ones, and U with its diagonal; form lu only."""
        return self.triangles.tril(-1), self.triangles.triu(1) + torch.diag(self.sign * self.log_diagonal.exp())

    def matrix(self) -> Tensor:
        """W, (channels, channels)."""
        if self.form == "dense":
            return self.weight
        lower, upper = self.factors()
        product = torch.addmm(upper, lower, upper)
        return product[self.order] if self.permuted else product

    def log_det(self) -> Tensor:
        """log|det W|."""
        if self.form == "dense":
            return torch.linalg.slogdet(self.weight.double()).logabsdet.to(self.weight.dtype)
        return self.log_diagonal.sum()

    def forward(self, x: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        log_det = (self._pixels(x) * self.log_det()).expand(self._free(x))
        weight = self.matrix()
        y = functional.conv2d(x, weight[:, :, None, None]) if self.pictures else functional.linear(x, weight)
        return y, log_det

    def inverse(self, y: Tensor, labels: Tensor | None = None) -> Tensor:
        rows = y.movedim(-3, -1) if self.pictures else y
        columns = rows.flatten(0, -2).T
        if self.form == "dense":
            solved = torch.linalg.solve(self.weight.double(), columns.double()).to(y.dtype)
        else:
            lower, upper = self.factors()
            inner = torch.linalg.solve_triangular(lower, columns[self.order.argsort()], upper=False, unitriangular=True)
            solved = torch.linalg.solve_triangular(upper, inner, upper=True)
        x = solved.T.reshape(rows.shape)
        return x.movedim(-1, -3).contiguous() if self.pictures else x


class _WithNets(Layer):
    """What couplings share: the bound of the scale, and nets whose inner values may be computed anew to save memory."""

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


def halves(channels: int) -> tuple[int, int]:
    """How many channels the two halves of a coupling have."""
    return channels // 2, channels - channels // 2


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


class Squeeze(Layer):
    """Each 2 x 2 block of pixels becomes one pixel of 4 times the channels; volume is kept."""

    def __init__(self) -> None:
        super().__init__(True)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return functional.pixel_unshuffle(x, 2), x.new_zeros(self._free(x))

    def inverse(self, y: Tensor, labels: Tensor | None = None) -> Tensor:
        return functional.pixel_shuffle(y, 2)


class Split(nn.Module):
    """The first half of the channels leaves the flow, the second half goes on."""

    def __init__(self, channels: int, pictures: bool) -> None:
        super().__init__()
        self.sizes, self.axis = halves(channels), -3 if pictures else -1

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What leaves, and what goes on."""
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
    """The uint8 image that a point of [0, 1)^D stands for; what lies outside goes to the nearest value."""
    return (x * 256).floor().clamp(0, 255).to(torch.uint8)


def log_normal(z: Tensor, axes: tuple[int, ...]) -> Tensor:
    """log N(z; 0, I), summed over some axes."""
    return -0.5 * (z.square() + math.log(2 * math.pi)).sum(axes)
