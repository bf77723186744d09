"""The continuous flow (FFJORD) for data of few dimensions: dx/dt = g(x, t, y) from t = 0 to T, d log|det| = div g dt.

Field and solver settings follow Grathwohl et al., FFJORD, ICLR 2019 (arXiv 1810.01367): concatsquash layers, tanh, T
trained from 0.5, Dormand-Prince 5(4) at absolute and relative tolerance 1e-5, exact divergence. Gradients go through
the solver's steps. The inverse is as exact as the solver is, about its tolerance.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from trainables.flows.layers.layer import Layer, LayerList
from trainables.flows.layers.nets import NetValues, linear

State = tuple[Tensor, Tensor]  # x (..., d) and log|det| (...)
Field = Callable[[float, State], State]

# Dormand and Prince (1980): nodes, stages, and the weights of order 5 less those of order 4.
_NODES = (0.0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0)
_STAGES = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
_ERROR = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)
_MOST_STEPS = 1000


def _along(state: State, slopes: list[State], weights: tuple[float, ...], h: float) -> State:
    x, log_det = state
    for slope, weight in zip(slopes, weights, strict=False):
        if weight:
            x, log_det = x + h * weight * slope[0], log_det + h * weight * slope[1]
    return x, log_det


def dopri5(field: Field, state: State, start: float, end: float, tolerance: float) -> State:
    """Integrate from `start` to `end` with steps chosen so that each one's error is about the tolerance.

    Raises:
        ArithmeticError: more than 1000 steps would be needed, or the field is not finite.
    """
    span = end - start
    t, h = start, span / 4
    first = field(t, state)
    for _ in range(_MOST_STEPS):
        h = math.copysign(min(abs(h), abs(end - t)), span)
        slopes = [first]
        for node, weights in zip(_NODES[1:], _STAGES, strict=True):
            at = _along(state, slopes, weights, h)
            slopes.append(field(t + node * h, at))
        with torch.no_grad():
            worst = torch.zeros((), device=state[0].device)
            for i in (0, 1):
                error = h * sum(w * slope[i] for w, slope in zip(_ERROR, slopes, strict=True))
                scale = tolerance * (1 + torch.maximum(state[i].abs(), at[i].abs()))
                worst = torch.maximum(worst, (error / scale).square().mean().sqrt())
            ratio = float(worst)
        if not math.isfinite(ratio):
            raise ArithmeticError("the continuous flow's field is not finite; lower lr or the gradient clip.")
        if ratio <= 1:
            t, state, first = t + h, at, slopes[-1]  # the last stage is the next step's first
            if abs(end - t) <= 1e-9 * abs(span):
                return state
        h *= min(5.0, max(0.2, 0.9 * (ratio + 1e-10) ** -0.2))
    raise ArithmeticError(
        f"the continuous flow needs more than {_MOST_STEPS} solver steps; lower lr, or raise tolerance."
    )


class ConcatSquash(nn.Module):
    """(W x + b) * sigmoid(gate(t, y)) + shift(t, y); both see the time linearly and the label by a bias."""

    def __init__(self, inputs: int, outputs: int, classes: int, generator: torch.Generator) -> None:
        super().__init__()
        self.layer = linear(inputs, outputs, generator)
        self.gate, self.shift = (linear(1, outputs, generator) for _ in range(2))
        self.label_gate, self.label_shift = (
            nn.Parameter(torch.zeros(classes, outputs).uniform_(-0.5, 0.5, generator=generator)) if classes else None
            for _ in range(2)
        )

    def forward(self, x: Tensor, t: Tensor, labels: Tensor | None) -> Tensor:
        gate, shift = self.gate(t), self.shift(t)
        if self.label_gate is not None and self.label_shift is not None and labels is not None:
            gate, shift = gate + self.label_gate[labels], shift + self.label_shift[labels]
        moved: Tensor = self.layer(x) * torch.sigmoid(gate) + shift
        return moved


class OdeFlow(Layer):
    """A continuous flow on vectors; conditional when `classes` > 0.

    Args:
        values: width of the hidden layers, and how many there are (`blocks`).
        classes: 0 for a flow that does not see labels.
        tolerance: of the solver, absolute and relative.
    """

    def __init__(self, channels: int, values: NetValues, classes: int = 0, tolerance: float = 1e-5) -> None:
        super().__init__()
        sizes = [channels, *[values.width] * values.blocks, channels]
        pairs = itertools.pairwise(sizes)
        self.layers: LayerList[ConcatSquash] = LayerList(
            ConcatSquash(a, b, classes, values.generator) for a, b in pairs
        )
        self.log_end = nn.Parameter(torch.tensor(math.log(0.5)))
        self.tolerance, self.conditional = tolerance, classes > 0

    def slope(self, x: Tensor, t: Tensor, labels: Tensor | None) -> Tensor:
        """g(x, t, y), the shape of x."""
        for layer in self.layers[:-1]:
            x = torch.tanh(layer(x, t, labels))
        g: Tensor = self.layers[-1](x, t, labels)
        return g

    def forward(self, x: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self._solve(x, labels, 0.0, 1.0)

    def inverse(self, y: Tensor, labels: Tensor | None = None) -> Tensor:
        return self._solve(y, labels, 1.0, 0.0)[0]

    def _solve(self, x: Tensor, labels: Tensor | None, start: float, end: float) -> State:
        """In time s = t / T from 0 to 1, so that T is an ordinary parameter of the field."""
        if self.conditional and labels is not None:
            x = x.expand(*torch.broadcast_shapes(x.shape[:-1], labels.shape), x.shape[-1])
        graph = torch.is_grad_enabled()
        duration = self.log_end.exp()

        def field(s: float, state: State) -> State:
            # The divergence needs gradients of g even when the caller runs without.
            with torch.enable_grad():
                at = state[0] if graph and state[0].requires_grad else state[0].detach().requires_grad_()
                g = self.slope(at, (duration * s).view(1), labels)
                divergence = torch.zeros_like(state[1])
                for i in range(at.shape[-1]):
                    (row,) = torch.autograd.grad(g[..., i].sum(), at, create_graph=graph, retain_graph=True)
                    divergence = divergence + row[..., i]
                found = duration * g, duration * divergence
            return found if graph else (found[0].detach(), found[1].detach())

        return dopri5(field, (x, x.new_zeros(x.shape[:-1])), start, end, self.tolerance)
