"""The interface between a task and the training loop."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa
import torch
from torch import Tensor

from trainables.permutations.costs import Cost
from trainables.permutations.descent import Evaluate, descend
from trainables.permutations.tasks.searches import (
    Found,
    Moves,
    annealing,
    greedy_swaps,
    insertion_descent,
    random_search,
)


@dataclass(frozen=True)
class Control:
    """What a control method reached with as many evaluations.

    Args:
        name: the method.
        value: the lowest cost of each run, or a score of the same kind as `metric`; (runs,), or (runs, units) if
            a run is scored on several units (queries).
        metric: what `value` is: "cost", "gap", "shd", "ndcg5", ...
        evaluations: costs evaluated by each run; 0 for methods that never evaluate the cost.
    """

    name: str
    value: Tensor
    metric: str
    evaluations: int


class Policy(Protocol):
    """Where the distributions' parameters come from."""

    def theta(self) -> Tensor:
        """(rows, *shape), with a graph to `parameters` where they are not the same."""
        ...

    def parameters(self) -> list[Tensor]: ...

    def backward(self, theta: Tensor, gradient: Tensor) -> list[Tensor]:
        """The parameters' gradients, given the gradient for theta."""
        ...


class Free:
    """theta itself is the parameter."""

    def __init__(self, theta: Tensor) -> None:
        self._theta = theta

    def theta(self) -> Tensor:
        return self._theta

    def parameters(self) -> list[Tensor]:
        return [self._theta]

    def backward(self, theta: Tensor, gradient: Tensor) -> list[Tensor]:
        return [gradient]


def spread_starts(noise: Tensor, restarts: int, first: float, others: float) -> Tensor:
    """Initial parameters: those of each run's first start scaled by `first`, of all other starts by `others`.

    Args:
        noise: (runs · restarts, ...), standard normal.
    """
    scale = torch.full((len(noise),), max(first, others), dtype=noise.dtype)
    scale[::restarts] = first
    return noise * scale.reshape(-1, *[1] * (noise.ndim - 1))


class Problem:
    """A task ready to be trained. Subclasses set `n`, `rows`, `cost`, and override what differs.

    Attributes:
        n: items.
        rows: independent distributions; a multiple of the number of runs.
        restarts: how many consecutive rows are starts of the same run.
        cost: what is minimised.
        mask: (rows, n) booleans, False at padding; None without padding.
        device: where the cost's tensors are.
        moves: annealing's neighbours: swaps of two items, an item put elsewhere, or reversals of a segment.
    """

    n: int
    rows: int
    restarts: int = 1
    cost: Cost
    mask: Tensor | None = None
    device: torch.device = torch.device("cpu")
    moves: Moves = "swap"

    def policy(
        self, shape: tuple[int, ...], scale: float, spread: float, like: Tensor, generator: torch.Generator
    ) -> Policy:
        """Initial parameters: normal with standard deviation `scale`, in starts after a run's first `spread`."""
        noise = torch.randn((self.rows, *shape), dtype=torch.float64, generator=generator)
        return Free(spread_starts(noise, self.restarts, scale, spread).to(like))

    def cost_with(self, others: Sequence[Problem]) -> Cost:
        """The cost of this problem's rows followed by those of other problems, which differ only in their data."""
        return self.cost

    def learn(self, order: Tensor) -> None:
        """Take one step on the task's own parameters at the sampled orders."""

    def state(self) -> dict[str, Any]:
        return {}

    def load(self, state: dict[str, Any]) -> None:
        """The inverse of `state`."""

    def measure(self, best: Tensor, mode: Tensor, theta: Tensor, last: bool = False) -> Mapping[str, Tensor]:
        """Task-specific scores, (runs,) or (runs, units), from each run's best and most probable order (runs, n).

        Args:
            last: whether it is the last report, which may also have scores that take long.
        """
        return {}

    def pictures(self, best: Tensor, order: Tensor, draws: Tensor) -> Mapping[str, pa.Table]:
        """Tables behind the task's figures, from each run's best cost (runs,), its order (runs, n), and orders that its
        learnt distribution draws (runs, S, n)."""
        return {}

    def remarks(self, lowest: float) -> Iterable[str]:
        """What to say after the last report, given the lowest cost of all runs."""
        return ()

    def descend(
        self, evaluate: Evaluate, starts: Tensor, left: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The best cost (runs,) and order (runs, n) of a final search from each run's starts, most promising first
        (runs, K, n), and the evaluations (runs,) that it made without `evaluate`; `left` (runs,) may be made."""
        return *descend(evaluate, starts, left, generator), torch.zeros_like(left)

    def controls(self, budget: int, runs: int, generator: torch.Generator) -> Iterable[Control]:
        """Control methods with `budget` evaluations per run."""
        for name, found in self.searches(budget, generator):
            yield Control(name, found.value.reshape(runs, -1), "cost", found.evaluations)

    def searches(self, budget: int, generator: torch.Generator) -> Iterable[tuple[str, Found]]:
        """Random search, neighbour swaps, annealing and descent by insertions and swaps on the cost itself."""
        cost, rows = _OnItsDevice(self.cost, self.device), self.rows // self.restarts
        yield "random_search", random_search(cost, rows, budget, generator)
        yield "greedy_swaps", greedy_swaps(cost, rows, budget, generator)
        yield "annealing", annealing(cost, rows, budget, generator, self.moves)
        yield "descent", insertion_descent(cost, rows, budget, generator)


class _OnItsDevice:
    """A cost for orders on the CPU, where the controls run."""

    def __init__(self, cost: Cost, device: torch.device) -> None:
        self._cost, self._device, self.n = cost, device, cost.n

    def __call__(self, order: Tensor) -> Tensor:
        return self._cost(order.to(self._device)).cpu()
