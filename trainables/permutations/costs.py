"""What is minimised: a cost of orderings, possibly with an extension to soft permutation matrices."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from raybayes.errors import SpecError, TrialError
from trainables.permutations.descent import Evaluate
from trainables.permutations.memory import Memory


class Cost(Protocol):
    """A cost of orderings of `n` items, evaluated for R runs at once."""

    n: int

    def __call__(self, order: Tensor) -> Tensor:
        """Costs (R, S) of orderings (R, S, n) int64."""
        ...


@runtime_checkable
class RelaxedCost(Protocol):
    """A cost that extends to row-stochastic matrices, equal to the cost itself on permutation matrices."""

    n: int

    def __call__(self, order: Tensor) -> Tensor: ...

    def relaxed(self, matrix: Tensor) -> tuple[Tensor, Tensor]:
        """Costs (R, S) and their gradients (R, S, n, n) at matrices (R, S, n, n)."""
        ...

    def bend(self, matrix: Tensor, direction: Tensor) -> Tensor:
        """The gradient's derivative along a direction, both (R, S, n, n): what a learnt temperature needs."""
        ...


@dataclass(frozen=True)
class RelaxedValue:
    """A relaxed cost (R, S), its gradient (R, S, n, n), and that gradient's derivative along a direction."""

    value: Tensor
    gradient: Tensor
    bend: Callable[[Tensor], Tensor]


Search = Callable[[Evaluate, Tensor, Tensor, torch.Generator], tuple[Tensor, Tensor, Tensor]]


class Recorder:
    """Evaluates a cost, checks its values, counts them, and keeps the best ordering of each run.

    Args:
        cost: what is minimised.
        runs: R.
        dtype: of the costs that come back.
        restarts: how many of those runs share one budget; counts are per run.
        memory: orders seen, which are not evaluated again; None: every order is.

    Attributes:
        repeats: (R,), the share of the last call's orders that were not new; only with a memory.
        aside: of each run, evaluations that the final search made without the cost, by differences of two orders.

    Raises:
        SpecError: the cost has another shape than (R, S).
        TrialError: a cost is NaN or infinite.
    """

    def __init__(self, cost: Cost, runs: int, dtype: torch.dtype, device: torch.device, restarts: int = 1,
                 memory: Memory | None = None) -> None:  # fmt: skip
        self.cost, self.runs, self.dtype, self.restarts = cost, runs, dtype, restarts
        self.memory, self.repeats = memory, torch.zeros(0)
        self._relaxable = (
            cost if isinstance(cost, RelaxedCost) else None
        )  # checking at each call would cost more than f
        self.evaluations = 0
        self.aside: list[int] = []
        self.relaxed_evaluations = 0
        self.best = torch.full((runs,), torch.inf, dtype=dtype, device=device)
        self.best_order = torch.arange(cost.n, device=device).repeat(runs, 1)

    @property
    def n(self) -> int:
        return self.cost.n

    def look(self, order: Tensor) -> Tensor:
        """Costs (R, S) that are neither counted nor kept as best: for measuring, not for optimising."""
        values = self.cost(order)
        if not isinstance(values, Tensor) or values.shape != order.shape[:-1]:
            found = tuple(values.shape) if hasattr(values, "shape") else type(values).__name__
            raise SpecError(
                f"the cost of orderings of shape {tuple(order.shape)} returned {found}; it must return a tensor of "
                f"shape {tuple(order.shape[:-1])}, one number per ordering."
            )
        values = values.to(self.dtype)
        if not math.isfinite(float(values.sum())) and not (finite := torch.isfinite(values)).all():
            where = int((~finite).flatten().nonzero()[0])
            example = order.reshape(-1, order.shape[-1])[where].tolist()
            raise TrialError(
                f"the cost of ordering {example} is {float(values.flatten()[where])}; costs must be finite: give "
                f"forbidden orderings a large cost."
            )
        return values

    def __call__(self, order: Tensor) -> Tensor:
        """Costs (R, S), counted; the best ordering of each run is kept."""
        if self.memory is None:
            values = self.look(order)
        else:
            values, new = self.memory.evaluate(order, self.look, self.dtype)
            self.repeats = 1 - new.to(self.dtype).mean(-1)
        self.evaluations += order.shape[1]
        lowest, where = values.min(-1)
        better = lowest < self.best
        if not better.any():
            return values
        rows = torch.arange(self.runs, device=order.device)
        self.best = torch.where(better, lowest, self.best)
        self.best_order = torch.where(better.unsqueeze(-1), order[rows, where], self.best_order)
        return values

    @property
    def spent(self) -> float:
        """Evaluations of a run, mean over runs; orders that the memory knew are not among them."""
        if self.memory is None:
            return float(self.evaluations * self.restarts)
        return (sum(self.memory.spent) + sum(self.aside)) / len(self.memory.spent)

    def improve(self, left: Tensor, generator: torch.Generator, search: Search) -> None:
        """Search from the best orders of each run's starts; `left` (runs,) are the evaluations that it may spend."""
        runs = self.runs // self.restarts
        first = torch.arange(runs, device=self.best.device) * self.restarts
        rank = self.best.reshape(runs, self.restarts).argsort(-1)
        starts = self.best_order[first.unsqueeze(1) + rank].cpu()
        values, orders, aside = search(self._counted, starts, left, generator)
        self.aside = aside.tolist()
        row = first + rank[:, 0]
        values, orders = values.to(self.best), orders.to(self.best.device)
        better = values < self.best[row]
        self.best[row[better]], self.best_order[row[better]] = values[better], orders[better]

    def _counted(self, order: Tensor, active: Tensor) -> tuple[Tensor, Tensor]:
        order = order.to(self.best.device)
        if self.memory is None:
            return self.look(order).cpu(), torch.ones(order.shape[:-1], dtype=torch.bool)
        values, new = self.memory.evaluate(order, self.look, self.dtype, active)
        return values.cpu(), new.cpu()

    def relaxed(self, matrix: Tensor) -> RelaxedValue:
        """The relaxed cost with its derivatives, counted separately."""
        if self._relaxable is None:
            raise SpecError(
                f"{type(self.cost).__name__} is a black box without a relaxation; choose "
                f"critic.of = black_box, or an estimator without a relaxation (reinforce_ema, rloo)."
            )
        self.relaxed_evaluations += matrix.shape[1]
        value, gradient = self._relaxable.relaxed(matrix)
        return RelaxedValue(value, gradient, functools.partial(self._relaxable.bend, matrix))

    def state(self) -> dict[str, object]:
        """What a resumed run needs."""
        counts = {"evaluations": self.evaluations, "relaxed_evaluations": self.relaxed_evaluations}
        return {**counts, "best": self.best, "best_order": self.best_order}

    def load(self, state: dict[str, object]) -> None:
        """The inverse of `state`."""
        for name, value in state.items():
            setattr(self, name, value)
