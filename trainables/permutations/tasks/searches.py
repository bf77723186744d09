"""Searches without gradients, with a budget of cost evaluations: the controls of every task.

Each makes `runs` independent searches at once and returns the best cost and order of each run, with at most `budget`
evaluations per run.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, assert_never

import torch
from torch import Tensor

from trainables.permutations.costs import Cost
from trainables.permutations.descent import descend

Moves = Literal["swap", "insert", "reverse"]
BLOCK = 256  # orders evaluated together by random search; moves of annealing that are drawn together


@dataclass(frozen=True)
class Found:
    """The best order of each run: `value` (runs,), `order` (runs, n), and the cost evaluations per run."""

    value: Tensor
    order: Tensor
    evaluations: int


def _random_orders(runs: int, count: int, n: int, generator: torch.Generator) -> Tensor:
    return torch.rand(runs, count, n, generator=generator).argsort(-1)


def random_search(cost: Cost, runs: int, budget: int, generator: torch.Generator) -> Found:
    """Uniformly random orders."""
    best = torch.full((runs,), math.inf, dtype=torch.float64)
    order = torch.zeros(runs, cost.n, dtype=torch.long)
    rows = torch.arange(runs)
    for start in range(0, budget, BLOCK):
        draws = _random_orders(runs, min(BLOCK, budget - start), cost.n, generator)
        values, where = cost(draws).double().min(-1)
        better = values < best
        best = torch.where(better, values, best)
        order = torch.where(better.unsqueeze(-1), draws[rows, where], order)
    return Found(best, order, budget)


def greedy_swaps(cost: Cost, runs: int, budget: int, generator: torch.Generator) -> Found:
    """Steepest descent by swaps of neighbours in the order, restarted from a random order whenever no swap helps."""
    n, rows = cost.n, torch.arange(runs)
    neighbours = torch.arange(n).repeat(n - 1, 1)
    for i in range(n - 1):
        neighbours[i, i], neighbours[i, i + 1] = i + 1, i
    best = torch.full((runs,), math.inf, dtype=torch.float64)
    best_order = torch.zeros(runs, n, dtype=torch.long)
    current = torch.full((runs,), math.inf, dtype=torch.float64)
    order = _random_orders(runs, 1, n, generator)[:, 0]
    used = 0
    while used < budget:
        candidates = order[:, neighbours][:, : max(1, budget - used)]
        stuck_start = torch.isinf(current)  # a fresh order is evaluated in place of its last neighbour
        candidates = torch.where(
            stuck_start[:, None, None] & (torch.arange(candidates.shape[1]) == 0)[None, :, None],
            order[:, None],
            candidates,
        )
        used += candidates.shape[1]
        values, where = cost(candidates).double().min(-1)
        better = values < current
        order = torch.where(better.unsqueeze(-1), candidates[rows, where], order)
        current = torch.where(better, values, current)
        record = current < best
        best = torch.where(record, current, best)
        best_order = torch.where(record.unsqueeze(-1), order, best_order)
        fresh = _random_orders(runs, 1, n, generator)[:, 0]
        order = torch.where(better.unsqueeze(-1), order, fresh)
        current = torch.where(better, current, math.inf)
    return Found(best, best_order, used)


def insertion_descent(cost: Cost, runs: int, budget: int, generator: torch.Generator) -> Found:
    """Descent by insertions and swaps from random orders, again and again."""

    def evaluate(order: Tensor, active: Tensor) -> tuple[Tensor, Tensor]:
        return cost(order), torch.ones(order.shape[:-1], dtype=torch.bool)

    left = torch.full((runs,), budget)
    value, order = descend(evaluate, _random_orders(runs, 1, cost.n, generator), left, generator, kicks=None)
    return Found(value, order, budget)


def best_order_score(cost: Cost, runs: int, budget: int, generator: torch.Generator) -> Found:
    """Best order score search (BOSS): each item in turn goes to its best place, until none moves; then a new start.

    References:
        Andrews et al., Fast scalable and accurate discovery of DAGs using the best order score search and grow-shrink
        trees, NeurIPS 2023, arXiv 2310.17679.
    """
    n, rows = cost.n, torch.arange(runs)
    best, best_order = torch.full((runs,), math.inf, dtype=torch.float64), _random_orders(runs, 1, n, generator)[:, 0]
    order, value, still = best_order.clone(), best.clone(), torch.zeros(runs, dtype=torch.long)
    for used in range(0, budget - n + 1, n):
        item = torch.full((runs, 1), (used // n) % n)
        others = order[order != item].reshape(runs, n - 1)
        places = torch.arange(n)
        source = torch.where(places[None] < places[:, None], places[None], places[None] - 1).clamp(min=0)
        tried = others[:, source.clamp(max=n - 2)]
        tried[:, places, places] = item
        values, where = cost(tried).double().min(-1)
        better = values < value - 1e-12 * (1 + value.abs().nan_to_num(posinf=0.0))
        order = torch.where(better.unsqueeze(-1), tried[rows, where], order)
        value, still = torch.where(better, values, value), torch.where(better, 0, still + 1)
        record = value < best
        best, best_order = torch.where(record, value, best), torch.where(record.unsqueeze(-1), order, best_order)
        done, fresh = still >= n, _random_orders(runs, 1, n, generator)[:, 0]
        order, still = torch.where(done.unsqueeze(-1), fresh, order), torch.where(done, 0, still)
        value = torch.where(done, math.inf, value)
    return Found(best, best_order, budget // n * n)


def annealing(cost: Cost, runs: int, budget: int, generator: torch.Generator, moves: Moves = "swap") -> Found:
    """Simulated annealing: one chain per run, geometric cooling from the spread of random orders to 1/1000 of it.

    Args:
        moves: "swap" exchanges two items; "reverse" reverses a segment (the 2-opt move of tours); "insert" puts an item
            elsewhere, for tours whose distances have a direction.

    References:
        Kirkpatrick, Gelatt, Vecchi, Optimization by simulated annealing, Science 1983.
    """
    n, rows = cost.n, torch.arange(runs)
    probe = _random_orders(runs, max(1, min(50, budget // 4)), n, generator)
    values = cost(probe).double()
    current, where = values.min(-1)
    order = probe[rows, where].clone()
    best, best_order = current.clone(), order.clone()
    steps = budget - probe.shape[1]
    hot = values.std(-1, unbiased=False).clamp_min(1e-12) / 2
    for start in range(0, steps, BLOCK):
        count = min(BLOCK, steps - start)
        cooling = 1e-3 ** (torch.arange(start, start + count, dtype=torch.float64) / max(1, steps - 1))
        luck = torch.rand(count, runs, generator=generator).double().log() * cooling.unsqueeze(-1) * hot
        for source, slack in zip(_moves(count, runs, n, moves, generator), luck, strict=True):
            candidate = order.gather(1, source)
            value = cost(candidate.unsqueeze(1)).double().squeeze(1)
            accept = slack < current - value
            order = torch.where(accept.unsqueeze(-1), candidate, order)
            current = torch.where(accept, value, current)
            record = current < best
            if record.any():
                best = torch.where(record, current, best)
                best_order = torch.where(record.unsqueeze(-1), order, best_order)
    return Found(best, best_order, probe.shape[1] + steps)


def _moves(count: int, runs: int, n: int, moves: Moves, generator: torch.Generator) -> Tensor:
    """(count, runs, n): the place that each place of the new order takes its item from."""
    pair = torch.rand(count, runs, n, generator=generator).topk(2, -1).indices.sort(-1).values
    low, high = pair[..., :1], pair[..., 1:]
    places = torch.arange(n)
    inside = (places >= low) & (places <= high)
    match moves:
        case "reverse":
            return torch.where(inside, low + high - places, places)
        case "insert":
            forward = torch.rand(count, runs, 1, generator=generator) < 0.5
            shifted = torch.where(forward, torch.where(places == high, low, places + 1),
                                  torch.where(places == low, high, places - 1))  # fmt: skip
            return torch.where(inside, shifted, places)
        case "swap":
            return torch.where(places == low, high, torch.where(places == high, low, places))
        case _ as unknown:
            assert_never(unknown)
