"""Orders that a run has seen: none is evaluated twice, and repeats are counted, not paid for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor


@dataclass
class Seen:
    """What one run has evaluated.

    Args:
        costs: by the 64-bit key of an order.
        drawn: orders that were asked for, repeats among them.
    """

    costs: dict[int, float] = field(default_factory=dict)
    drawn: int = 0


class Memory:
    """The orders that each run has seen; all starts of a run share them.

    An order is known by a random 64-bit key: a table of one random number for each item at each place, summed. Two
    orders of the same run agree by chance with a probability below 1e-8 for a million orders.

    Args:
        n: items.
        seen: one for each run.
        rowwise: whether the cost is the same for all runs and is evaluated order by order; then only new orders are
            handed to it.
    """

    def __init__(self, n: int, seen: Sequence[Seen], rowwise: bool, device: torch.device) -> None:
        self.seen, self._rowwise = list(seen), rowwise
        table = torch.randint(-(2**62), 2**62, (n, n), generator=torch.Generator().manual_seed(n))
        self._table, self._places = table.to(device).flatten(), n * torch.arange(n, device=device)

    def evaluate(
        self, order: Tensor, look: Callable[[Tensor], Tensor], dtype: torch.dtype, active: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Costs (R, S) of orders (R, S, n), and which of them are new (R, S).

        Args:
            look: evaluates orders.
            active: (R,), False for rows that must leave no trace; None: all do.
        """
        keys = self._table.take(self._places + order).sum(-1)
        new = self._new(keys.reshape(len(self.seen), -1).tolist(), active).reshape(keys.shape)
        if not self._rowwise:
            values = look(order)
            for seen, row in zip(self.seen, self._by_run(keys, new), strict=True):
                seen.costs.update(dict.fromkeys(row, 0.0))
            return values, new.to(order.device)
        fresh = look(order[new].unsqueeze(0))[0].tolist() if new.any() else []
        found = iter(fresh)
        for seen, row in zip(self.seen, self._by_run(keys, new), strict=True):
            seen.costs.update((key, next(found)) for key in row)
        listed = [
            [seen.costs.get(key, float("inf")) for key in row]
            for seen, row in zip(self.seen, keys.reshape(len(self.seen), -1).tolist(), strict=True)
        ]
        return torch.tensor(listed, dtype=dtype, device=order.device).reshape(keys.shape), new.to(order.device)

    def _new(self, keys: list[list[int]], active: Tensor | None) -> Tensor:
        """Which keys (runs, count) were not seen before, neither by the run nor earlier among these."""
        on = [True] * len(keys) if active is None else active.reshape(len(keys), -1)[:, 0].tolist()
        flags = []
        for seen, row, runs_on in zip(self.seen, keys, on, strict=True):
            first: dict[int, None] = {}
            known, marks = seen.costs, []
            for key in row:
                fresh = runs_on and key not in known and key not in first
                marks.append(fresh)
                if fresh:
                    first[key] = None
            seen.drawn += len(row) if runs_on else 0
            flags.append(marks)
        return torch.tensor(flags)

    def _by_run(self, keys: Tensor, new: Tensor) -> list[list[int]]:
        rows = zip(keys.reshape(len(self.seen), -1).tolist(), new.reshape(len(self.seen), -1).tolist(), strict=True)
        return [[key for key, fresh in zip(*row, strict=True) if fresh] for row in rows]

    @property
    def spent(self) -> list[int]:
        """Orders that each run has evaluated."""
        return [len(seen.costs) for seen in self.seen]

    @property
    def repeats(self) -> float:
        """The share of all drawn orders that had been seen before."""
        drawn = sum(seen.drawn for seen in self.seen)
        return 1 - sum(self.spent) / drawn if drawn else 0.0

    def state(self) -> list[dict[str, Any]]:
        """What a checkpoint holds."""
        return [
            {
                "keys": torch.tensor(list(seen.costs), dtype=torch.int64),
                "costs": torch.tensor(list(seen.costs.values()), dtype=torch.float64),
                "drawn": seen.drawn,
            }
            for seen in self.seen
        ]

    def load(self, state: Sequence[dict[str, Any]]) -> None:
        """The inverse of `state`."""
        for seen, saved in zip(self.seen, state, strict=True):
            seen.costs = dict(zip(saved["keys"].tolist(), saved["costs"].tolist(), strict=True))
            seen.drawn = saved["drawn"]
