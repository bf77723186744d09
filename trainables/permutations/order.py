"""Minimise your own function of an ordering: `minimise_order(f, n)`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from raybayes.errors import SpecError
from trainables.permutations import arguments
from trainables.permutations.allowed import allowed_orders
from trainables.permutations.search import OrderSearch, RowsCost


@dataclass(frozen=True)
class BestOrder:
    """The result of a search for an order.

    Args:
        order: (n,), the item of each place; the order with the lowest cost that was evaluated.
        cost: its cost.
        evaluations: orders evaluated, all runs together.
        theta: (runs, n) or (runs, n, n), the trained parameters.
        history: (updates, runs), mean cost of each update's samples.
        repeats: the share of the drawn orders that had been seen before, which cost nothing.
        orders: (keep, n), the best different orders, the best first; fewer if fewer were evaluated.
        costs: (keep,), their costs.
    """

    order: Tensor
    cost: float
    evaluations: int
    theta: Tensor
    history: Tensor
    repeats: float = 0.0
    orders: Tensor = field(default_factory=lambda: torch.zeros(0, 0, dtype=torch.long))
    costs: Tensor = field(default_factory=lambda: torch.zeros(0))


def minimise_order(
    f: Callable[[Tensor], Any],
    n: int,
    evaluations: int = 20_000,
    runs: int = 4,
    seed: int = 0,
    start: Any = None,
    callback: Callable[[int, float], object] | None = None,
    *,
    fixed: Any = None,
    before: Any = None,
    keep: int = 1,
    repeats: int = 1,
    progress: bool = False,
    resume: Any = None,
    device: Any = "cpu",
    **settings: Any,
) -> BestOrder:
    """Search for an order of n items with a low cost, given only the cost's values.

    Each of `runs` starts trains a Plackett-Luce distribution by leave-one-out gradients; all share the evaluations and
    the orders seen, of which none is evaluated twice. A start that only repeats itself begins anew. A quarter of the
    evaluations, and what is left, goes to a descent by insertions and swaps from the starts' best orders.

    Args:
        f: maps orders (m, n) int64, each row a permutation of 0 .. n-1 with the first item first, to m finite numbers
            (a tensor, an array, a list).
        n: number of items, at least 2.
        evaluations: number of orders to evaluate, all runs together.
        runs: starts.
        seed: of every random draw.
        start: an order that is known; the result is no worse.
        callback: called after each update with its number and the lowest cost so far; a true answer ends the updates.
        fixed: item -> its place, for items that must stand there.
        before: pairs (a, b): a comes before b. f only gets orders that respect `fixed` and `before`.
        keep: how many of the best different orders to return.
        repeats: evaluations of each order, whose mean is its cost: for a function that is random.
        progress: print evaluations and the lowest cost to stderr, at most once a second.
        resume: a file: the search continues from it if it exists, as if it had not been interrupted, and stores its
            state there every ten seconds and at the end; with more `evaluations`, a finished search goes on.
        device: where theta and the orders that f gets are.
        settings: values of the project's configuration, e.g. `lr=0.05`, `samples=64`, `model="matching"`,
            `estimator="relax_centred"`; dotted names as `**{"critic.width": 16}`.

    Returns:
        The best order with its cost.

    Raises:
        SpecError: an argument or setting that cannot be, an estimator that needs a relaxation of f, values of the
            wrong shape, or a function that differs between two calls with the same order.
        TrialError: a value that is not finite.

    Example:
        >>> import torch
        >>> weights = torch.tensor([3.0, 1.0, 2.0])
        >>> found = minimise_order(lambda b: (weights[b] * torch.arange(3)).sum(-1), n=3, evaluations=400)
        >>> found.order.tolist(), found.cost
        ([0, 2, 1], 4.0)
    """
    whole = arguments.whole
    items, budget, starts = whole("n", n, 2), whole("evaluations", evaluations, 1), whole("runs", runs, 1)
    if budget < starts:
        raise SpecError(f"found evaluations = {budget} for runs = {starts}; each run needs at least one evaluation.")
    arguments.require_function("f", f, "rows of orders")
    if callback is not None:
        arguments.require_function("callback", callback, "an update's number and the lowest cost so far")
    arguments.require_bool("progress", progress)
    allowed, known = allowed_orders(items, fixed, before), arguments.known_order(start, items)
    if allowed is not None and known is not None and not torch.equal(allowed(known), known):
        raise SpecError(f"found start = {known.tolist()}, which does not respect fixed and before.")
    config = arguments.configured(budget, starts, settings)
    cost = RowsCost(f, items, whole("repeats", repeats, 1), whole("keep", keep, 1))
    search = OrderSearch(config, cost, whole("seed", seed, 0), arguments.device_of(device), allowed, known)
    search.run(callback, progress, arguments.state_file(resume))
    return BestOrder(
        search.best_order,
        search.best,
        search.evaluations,
        search.theta,
        torch.stack(search.history),
        search.repeats,
        cost.orders,
        cost.costs,
    )
