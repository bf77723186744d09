"""Functions with a region in which every evaluation fails; what is best lies near its border, as with a batch size."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from raybayes.seeds import derive
from raybayes.space import Float, Space

Point = Mapping[str, float]
DRAWS = 20_000


@dataclass(frozen=True)
class Task:
    """A loss on the unit cube, and where its evaluation fails."""

    name: str
    dimensions: int
    loss: Callable[..., float]
    fails: Callable[..., bool]

    @property
    def space(self) -> Space:
        return Space({f"x{i}": Float(0.0, 1.0) for i in range(self.dimensions)})

    def point(self, config: Mapping[str, Any]) -> list[float]:
        return [float(config[f"x{i}"]) for i in range(self.dimensions)]

    @cached_property
    def scales(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Lowest and median loss of 20,000 draws: of those that do not fail, and of all."""
        points = np.random.default_rng(derive(0, "failures", self.name)).uniform(size=(DRAWS, self.dimensions))
        failed = np.array([self.fails(*x) for x in points])
        losses = np.array([self.loss(*x) for x in points])
        ran = losses[~failed]
        return (float(ran.min()), float(np.median(ran))), (float(losses.min()), float(np.median(losses)))

    def regret(self, loss: float, unlucky: bool) -> float:
        """0 for the best of the draws (below it: better than all of them), 1 for their median.

        Args:
            unlucky: failures are bad luck, so that no draw is left out.
        """
        best, median = self.scales[unlucky]
        return (loss - best) / (median - best)


def _branin(x: float, y: float) -> float:
    u, v = 15 * x - 5, 15 * y
    return (
        (v - 5.1 / (4 * math.pi**2) * u * u + 5 / math.pi * u - 6) ** 2
        + 10 * (1 - 1 / (8 * math.pi)) * math.cos(u)
        + 10
    )


def _hartmann(x: float, y: float, z: float) -> float:
    a = np.array([[3, 10, 30], [0.1, 10, 35], [3, 10, 30], [0.1, 10, 35]])
    p = np.array([[3689, 1170, 2673], [4699, 4387, 7470], [1091, 8732, 5547], [381, 5743, 8828]]) / 1e4
    inner = (a * (np.array([x, y, z]) - p) ** 2).sum(axis=1)
    return -float(np.array([1.0, 1.2, 3.0, 3.2]) @ np.exp(-inner))


def _network(width: float, batch: float, lr: float, decay: float) -> float:
    """A larger network and batch are better, at a learning rate that fits them."""
    return (1.2 - 0.6 * width - 0.3 * batch) + 3 * (lr - 0.3 - 0.4 * batch) ** 2 + (decay - 0.5) ** 2


TASKS = (
    Task("wall", 2, lambda x, y: -(x + y), lambda x, y: x + y > 1.25),
    Task("Branin, one basin fails", 2, _branin, lambda x, y: x > 0.7),
    Task("Hartmann-3", 3, _hartmann, lambda x, y, z: z > 0.85 or x > 0.82),
    Task("network", 4, _network, lambda width, batch, lr, decay: width + batch > 1.22),
    Task("corner", 3, lambda x, y, z: (x - 0.62) ** 2 + (y - 0.62) ** 2 + (z - 0.4) ** 2,
         lambda x, y, z: max(x, y) > 0.84),
)  # fmt: skip
