"""The free part rho of a control variate: one small network per run, with all its derivatives in closed form."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor


class Critic:
    """R independent networks: `depth` hidden layers of `width` units, one number out.

    The gradient for the input, and the gradient of *that* for the weights, come from the chain rule, written out: on
    networks this small, automatic differentiation takes longer than the arithmetic. Weights start as torch.nn.Linear's.

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
                place.append(draw.to(like.device))

    def parameters(self) -> list[Tensor]:
        """Weights and biases, each with the runs in the first dimension."""
        return [*self.weights, *self.biases]

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """rho(x) (R, S) and d rho / dx (R, S, d) at x (R, S, d)."""
        slopes = []
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            x, slope = self._activated(torch.baddbmm(bias, x, weight))
            slopes.append(slope)
        value = torch.baddbmm(self.biases[-1], x, self.weights[-1]).squeeze(-1)
        gradient = self.weights[-1].transpose(-1, -2)  # (R, 1, width)
        for weight, slope in zip(reversed(self.weights[:-1]), reversed(slopes), strict=True):
            gradient = (gradient * slope) @ weight.transpose(-1, -2)
        return value, gradient

    def _activated(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The activation and its derivative."""
        if self._relu:
            return x.relu(), (x > 0).to(x.dtype)
        y = x.tanh()
        return y, 1 - y * y

    def sensitivity(self, x: Tensor, weight: Tensor, direction: Tensor) -> list[Tensor]:
        """The gradient of sum_s weight_s rho(x_s) + direction_s · drho/dx_s for `parameters()`, in their order.

        Values and their derivatives along the direction pass forward together, stacked as samples; then both pass back.

        Args:
            x, direction: (R, S, d).
            weight: (R, S).
        """
        samples = x.shape[1]
        signal = torch.cat([x, direction], 1)
        signals, slopes, tangents = [signal], [], []
        for w, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            before, tangent = (signal @ w).split(samples, 1)
            y, slope = self._activated(before + bias)
            signal = torch.cat([y, slope * tangent], 1)
            signals.append(signal)
            slopes.append(slope)
            tangents.append(tangent)
        back = torch.cat([weight, torch.ones_like(weight)], 1).unsqueeze(-1)
        weights, biases = [], []
        for i in range(len(self.weights) - 1, -1, -1):
            weights.append(signals[i].transpose(-1, -2) @ back)
            biases.append(back[:, :samples].sum(1, keepdim=True))
            if i:
                value, tangent = (back @ self.weights[i].transpose(-1, -2)).split(samples, 1)
                slope = slopes[i - 1]
                value = slope * value
                if not self._relu:  # tanh'' = -2 tanh tanh'; a relu has none
                    value = value - 2 * signals[i][:, :samples] * slope * tangents[i - 1] * tangent
                back = torch.cat([value, slope * tangent], 1)
        return [*reversed(weights), *reversed(biases)]
