"""Single random numbers from a given generator."""

from __future__ import annotations

import math

import torch


class Draws:
    """Random numbers from one generator."""

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator

    def uniform(self, low: float, high: float) -> float:
        """A number between low and high."""
        return low + (high - low) * float(torch.rand(1, generator=self.generator, dtype=torch.float64))

    def ratio(self, low: float, high: float) -> float:
        """A log-uniform number between low and high, so that a ratio and its inverse are equally likely."""
        return math.exp(self.uniform(math.log(low), math.log(high)))

    def integer(self, count: int) -> int:
        """One of 0 .. count - 1."""
        return int(torch.randint(count, (1,), generator=self.generator))

    def coin(self) -> bool:
        """True with probability 1/2."""
        return self.integer(2) == 1

    def shuffled(self, names: list[str]) -> list[str]:
        """The same strings in a random order."""
        return [names[i] for i in torch.randperm(len(names), generator=self.generator).tolist()]
