"""A metric that a sweep improves."""

from __future__ import annotations

from dataclasses import dataclass, field

from raybayes.contract import Direction


@dataclass(frozen=True)
class Objective:
    """A reported metric, which way is better, and its unit ("" for a pure number; it plays no part in comparisons)."""

    name: str
    direction: Direction
    unit: str = field(default="", compare=False)

    @property
    def sign(self) -> float:
        """Factor that makes smaller better."""
        return -1.0 if self.direction == "maximize" else 1.0

    def loss(self, value: float) -> float:
        """The value, negated if it is to be maximised."""
        return self.sign * value

    @property
    def label(self) -> str:
        """Name and unit, for an axis or a column."""
        return f"{self.name} ({self.unit})" if self.unit else self.name

    @property
    def better(self) -> str:
        """Which way is better, in words."""
        return "higher is better" if self.direction == "maximize" else "lower is better"
