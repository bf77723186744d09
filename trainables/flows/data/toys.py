"""Moons and circles: points in the plane with their true density, a lower bound of every model's expected test NLL.

Both are a curve blurred by Gaussian noise, so log p(x) is an integral over the curve, taken by the midpoint rule.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from trainables.flows.layers import log_normal

TEST_POINTS = 5000
INNER_RADIUS = 0.2  # of the circles, as in the released code


def curve(name: str, label: int, t: Tensor) -> Tensor:
    """Points (n, 2) of a class's curve at t in [0, 1): the usual half circles, or a circle of radius 1 or 0.2."""
    angle = t * (math.pi if name == "moons" else 2 * math.pi)
    circle = torch.stack([angle.cos(), angle.sin()], 1)
    if name == "circles":
        return circle * (INNER_RADIUS if label else 1.0)
    return circle.new_tensor([1.0, 0.5]) - circle if label else circle


def points(name: str, n: int, spread: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """n points, half of each class in mixed order: (n, 2) float32 and (n,) int64."""
    labels = (torch.arange(n) % 2)[torch.randperm(n, generator=generator)]
    t, noise = torch.rand(n, generator=generator), torch.randn(n, 2, generator=generator)
    clean = torch.where(labels[:, None] == 1, curve(name, 1, t), curve(name, 0, t))
    return clean + spread * noise, labels


def true_log_joint(name: str, spread: float, x: Tensor) -> Tensor:
    """log p(x, y) of the points' own distribution, (n, 2) in nats."""
    nodes = max(400, math.ceil(40 / spread))  # closer together than the noise is wide
    t = (torch.arange(nodes, dtype=torch.float64) + 0.5) / nodes
    parts = []
    for some in x.double().split(500):
        away = [(some[:, None] - curve(name, label, t)) / spread for label in (0, 1)]
        parts.append(torch.stack([log_normal(each, (2,)).logsumexp(1) for each in away], 1))
    return torch.cat(parts) - math.log(nodes) - 2 * math.log(spread) - math.log(2)
