"""Descent by insertions and swaps, from given or from random orders, within a budget."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

INSERT, SWAP = 0, 1
KICKS = 3  # random moves on the best order once all given orders have been descended from
Evaluate = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def all_moves(n: int) -> Tensor:
    """(M, 3): kind, i, j. Every insertion and swap once."""
    pairs = torch.cartesian_prod(torch.arange(n), torch.arange(n))
    i, j = pairs.unbind(1)
    chosen = [(INSERT, pairs[(i != j) & (i != j + 1)]), (SWAP, pairs[j > i + 1])]
    return torch.cat([torch.cat([torch.full((len(p), 1), name), p], 1) for name, p in chosen])


def moved(order: Tensor, moves: Tensor) -> Tensor:
    """Orders (R, B, n) that the moves (R, B, 3) make of orders (R, n)."""
    kind, i, j = (part.unsqueeze(-1) for part in moves.unbind(-1))
    place = torch.arange(order.shape[-1])
    low, high = torch.minimum(i, j), torch.maximum(i, j)
    inside = (place >= low) & (place <= high)
    shifted = torch.where(place == j, i, place + torch.where(i < j, 1, -1))
    swapped = torch.where(place == i, j, torch.where(place == j, i, place))
    source = torch.where(kind == INSERT, shifted, swapped)
    source = torch.where(inside, source, place)
    return order.unsqueeze(1).expand(source.shape).gather(-1, source)


def descend(
    evaluate: Evaluate,
    starts: Tensor,
    left: Tensor,
    generator: torch.Generator,
    kicks: int | None = KICKS,
) -> tuple[Tensor, Tensor]:
    """The best cost (R,) and order (R, n) of descents for R runs at once.

    Moves are tried in random order, n at a time, and the best of these is made if it helps. Once no move helps, the
    next start is taken; after the last one, the run's best order with some random moves.

    Args:
        evaluate: from orders (R, B, n) and the rows that count (R,) to costs (R, B) and which were new (R, B).
        starts: (R, K, n), the most promising first.
        left: (R,), evaluations that each run may spend.
        kicks: how many random moves; None: a random order instead.
    """
    runs, count, n = starts.shape
    moves, rows = all_moves(n), torch.arange(runs)
    total, block = len(moves), min(n, len(moves))
    left, best = left.clone(), torch.full((runs,), torch.inf, dtype=torch.float64)
    best_order, order = starts[:, 0].clone(), starts[:, 0].clone()
    value, taken, fruitless = best.clone(), torch.zeros(runs, dtype=torch.long), torch.zeros(runs, dtype=torch.long)
    shuffled = torch.rand(runs, total, generator=generator).argsort(-1)
    at, idle = torch.zeros(runs, dtype=torch.long), torch.zeros(runs, dtype=torch.long)
    fresh_start = torch.ones(runs, dtype=torch.bool)
    while ((left > 0) & (idle < 4 * total)).any():
        active = (left > 0) & (idle < 4 * total)
        width = int(left[active].min().clamp(max=block))
        where = (at.unsqueeze(1) + torch.arange(width)) % total
        tried = moved(order, moves[shuffled.gather(1, where)])
        tried[fresh_start, 0] = order[fresh_start]
        costs, new = evaluate(tried, active)
        costs = costs.double()
        left -= new.sum(-1) * active
        idle = torch.where(new.any(-1), 0, idle + width)
        lowest, pick = costs.min(-1)
        better = active & (lowest < value - 1e-12 * (1 + lowest.abs()))
        order = torch.where(better.unsqueeze(-1), tried[rows, pick], order)
        value = torch.where(better, lowest, value)
        record = value < best
        best, best_order = torch.where(record, value, best), torch.where(record.unsqueeze(-1), order, best_order)
        fruitless = torch.where(better, 0, fruitless + width)
        at, fresh_start = (at + width) % total, torch.zeros_like(fresh_start)
        stuck = active & (fruitless >= total + width)
        for run in stuck.nonzero().flatten().tolist():
            taken[run] += 1
            if taken[run] < count:
                order[run] = starts[run, taken[run]]
            elif kicks is None:
                order[run] = torch.rand(n, generator=generator).argsort()
            else:
                order[run] = best_order[run]
                for move in torch.randint(total, (kicks,), generator=generator).tolist():
                    order[run] = moved(order[run : run + 1], moves[move].reshape(1, 1, 3))[0, 0]
            value[run], fruitless[run], fresh_start[run] = torch.inf, 0, True
            shuffled[run] = torch.rand(total, generator=generator).argsort()
    return best, best_order
