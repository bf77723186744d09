"""Starts that begin anew once their distribution has collapsed onto orders that were seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from trainables.permutations.tasks.problem import Free

PAST = 0.8  # share of the past in the moving average of repeats


class Collapse:
    """Watches, for each start, the share of its samples that were no new orders, and restarts it above a limit.

    Args:
        policy: theta.
        limit: the share, a moving average over about five updates.
        scale: standard deviation of a new start's parameters.
        seeds: one for each row; a restart's draw depends on it and on how often the row has been restarted.

    Attributes:
        restarted: (rows,), how often each start was begun anew.
    """

    def __init__(self, policy: Free, limit: float, scale: float, seeds: Sequence[int]) -> None:
        self._policy, self._limit, self._scale, self._seeds = policy, limit, scale, list(seeds)
        theta = policy.theta()
        self.restarted = torch.zeros(len(theta), dtype=torch.int64)
        self._repeats = torch.zeros(len(theta), dtype=theta.dtype, device=theta.device)
        self._kept = theta.detach().clone()
        self._kept_best = torch.full_like(self._repeats, torch.inf)

    @torch.no_grad()
    def observe(self, repeats: Tensor, best: Tensor) -> Tensor | None:
        """Restart the rows whose distribution has collapsed; returns their numbers, or None.

        Args:
            repeats: (rows,), the share of an update's samples that were not new.
            best: (rows,), the lowest cost that each row has seen.
        """
        self._repeats = PAST * self._repeats + (1 - PAST) * repeats
        asleep = self._repeats > self._limit
        if not asleep.any():
            return None
        theta, rows = self._policy.theta(), asleep.nonzero().flatten()
        for row in rows.tolist():
            if best[row] < self._kept_best[row]:
                self._kept[row], self._kept_best[row] = theta[row], best[row]
            self.restarted[row] += 1
            seed = (self._seeds[row] + 1_000_003 * int(self.restarted[row])) % 2**63
            noise = torch.randn(theta[row].shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
            theta[row] = (self._scale * noise).to(theta)
        self._repeats[rows] = 0.0
        return rows

    def shown(self, theta: Tensor, best: Tensor) -> Tensor:
        """theta, but where a row has found nothing better since its restart, what it was before."""
        stale = (best >= self._kept_best).reshape(-1, *[1] * (theta.ndim - 1))
        return torch.where(stale, self._kept, theta)

    def state(self) -> dict[str, Any]:
        return {"restarted": self.restarted.clone(), "repeats": self._repeats.clone(), "kept": self._kept.clone(),
                "kept_best": self._kept_best.clone()}  # fmt: skip

    def load(self, state: dict[str, Any]) -> None:
        """The inverse of `state`."""
        self.restarted, self._repeats = state["restarted"].clone(), state["repeats"].clone()
        self._kept, self._kept_best = state["kept"].clone(), state["kept_best"].clone()


def row_seeds(seed: int, rows: int) -> list[int]:
    """A seed for each row of a trial."""
    return [(seed + 15_485_863 * row) % 2**63 for row in range(rows)]
