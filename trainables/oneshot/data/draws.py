"""Single random numbers from a generator that is handed in."""

from __future__ import annotations

import math

import torch


class Draws:
    """Random numbers from one generator."""

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator

    def uniform(self, low: float, high: float) -> float:
        """Between low and high."""
        return low + (high - low) * float(torch.rand(1, generator=self.generator, dtype=torch.float64))

    def ratio(self, low: float, high: float) -> float:
        """Log-uniform, so that wider and higher are alike."""
        return math.exp(self.uniform(math.log(low), math.log(high)))

    def integer(self, count: int) -> int:
        """0 .. count - 1."""
        return int(torch.randint(count, (1,), generator=self.generator))

    def coin(self) -> bool:
        """Either with probability 1/2."""
        return self.integer(2) == 1

    def shuffled(self, things: list[str]) -> list[str]:
        """The same things in a random order."""
        return [things[i] for i in torch.randperm(len(things), generator=self.generator).tolist()]
