"""The free part rho of a control variate: one small network for each run, with its input gradient in closed form."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor


class Critic:
    """R independent networks: `depth` hidden layers of `width` units, one number out.

    The gradient with respect to the input comes from the chain rule, written out, so that differentiating *it* for the
    weights takes one ordinary backward pass. Weights start as torch.nn.Linear's do.

    Args:
        runs: R.
        inputs: d.
        width: units of a hidden layer.
        depth: hidden layers, 1 or 2.
        activation: "relu" or "tanh".
        like: tensor with the dtype and device of the weights.
        generator: CPU generator of the first weights.
    """

    def __init__(
        self, runs: int, inputs: int, width: int, depth: int, activation: str, like: Tensor, generator: torch.Generator
    ) -> None:
        self._relu = activation == "relu"
        sizes = [inputs, *[width] * depth, 1]
        self.weights: list[Tensor] = []
        self.biases: list[Tensor] = []
        for before, after in itertools.pairwise(sizes):
            bound = 1 / math.sqrt(before)
            for shape, place in (((runs, before, after), self.weights), ((runs, 1, after), self.biases)):
                draw = (2 * torch.rand(shape, dtype=like.dtype, generator=generator) - 1) * bound
                place.append(draw.to(like.device).requires_grad_())

    def parameters(self) -> list[Tensor]:
        """Weights and biases, each with the runs in the first dimension."""
        return [*self.weights, *self.biases]

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """rho(x) (R, S) and d rho / dx (R, S, d) at x (R, S, d)."""
        slopes = []
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            x = torch.baddbmm(bias, x, weight)
            if self._relu:
                slopes.append((x > 0).to(x.dtype))
                x = x.relu()
            else:
                x = x.tanh()
                slopes.append(1 - x * x)
        value = torch.baddbmm(self.biases[-1], x, self.weights[-1]).squeeze(-1)
        gradient = self.weights[-1].transpose(-1, -2)  # (R, 1, width)
        for weight, slope in zip(reversed(self.weights[:-1]), reversed(slopes), strict=True):
            gradient = (gradient * slope) @ weight.transpose(-1, -2)
        return value, gradient
