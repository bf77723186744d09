"""Minimise your own function of an ordering: `minimise_order(f, n)`."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from raybayes.errors import SpecError
from trainables.permutations.collapse import row_seeds
from trainables.permutations.config import ESTIMATORS, Config
from trainables.permutations.costs import Recorder
from trainables.permutations.estimators.build import apply_schedules, build_estimator, build_model
from trainables.permutations.optimiser import OrderOptimiser
from trainables.permutations.tasks.problem import Free, Problem, spread_starts
from trainables.permutations.training import new_collapse, new_memory


@dataclass(frozen=True)
class BestOrder:
    """The result of a search for an order.

    Args:
        order: (n,), the item of each place; the order with the lowest cost that was evaluated.
        cost: its cost.
        evaluations: costs evaluated, all runs together.
        theta: (runs, n) or (runs, n, n), the trained parameters.
        history: (updates, runs), mean cost of each update's samples.
        repeats: the share of the drawn orders that had been seen before, which cost nothing.
    """

    order: Tensor
    cost: float
    evaluations: int
    theta: Tensor
    history: Tensor
    repeats: float = 0.0


def minimise_order(
    f: Callable[[Tensor], Any],
    n: int,
    evaluations: int = 20_000,
    runs: int = 4,
    seed: int = 0,
    start: Any = None,
    callback: Callable[[int, float], object] | None = None,
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
        settings: values of the project's configuration, e.g. `lr=0.05`, `samples=64`, `model="matching"`,
            `estimator="relax_centred"`; dotted names as `**{"critic.width": 16}`.

    Returns:
        The best order with its cost.

    Raises:
        SpecError: n < 2, a wrong setting, an estimator that needs a relaxation of f, or values of the wrong shape.
        TrialError: a value that is not finite.

    Example:
        >>> import torch
        >>> weights = torch.tensor([3.0, 1.0, 2.0])
        >>> found = minimise_order(lambda b: (weights[b] * torch.arange(3)).sum(-1), n=3, evaluations=400)
        >>> found.order.tolist(), found.cost
        ([0, 2, 1], 4.0)
    """
    items = _whole("n", n, 2)
    budget, starts = _whole("evaluations", evaluations, 1), _whole("runs", runs, 1)
    if budget < starts:
        raise SpecError(f"found evaluations = {budget} for runs = {starts}; each run needs at least one evaluation.")
    if "restarts" in settings:
        raise SpecError("minimise_order has no option 'restarts'; its runs share the evaluations: raise runs instead.")
    if not callable(f):
        raise SpecError(f"found f = {type(f).__name__}; f must be a function of rows of orders.")
    config = _configured(budget, starts, settings)
    return _search(config, _Rows(f, items), _start(start, items), _whole("seed", seed, 0), callback)


def _whole(name: str, value: Any, least: int) -> int:
    """The argument as an int; SpecError if it is no whole number from `least` on."""
    try:
        found = operator.index(value)
    except TypeError:
        found = least - 1
    if isinstance(value, bool) or found < least:
        what = f"an order needs an integer n >= {least}" if name == "n" else f"it must be a whole number >= {least}"
        raise SpecError(f"found {name} = {value!r}; {what}.")
    return found


def _start(start: Any, n: int) -> Tensor | None:
    if start is None:
        return None
    order = torch.as_tensor(start)
    if order.shape != (n,) or sorted(order.tolist()) != list(range(n)):
        raise SpecError(f"found start = {order.tolist()}; it must be an order of 0 to {n - 1}, each once.")
    return order.long()


def _search(
    config: Config, cost: _Rows, start: Tensor | None, seed: int, callback: Callable[[int, float], object] | None
) -> BestOrder:
    model, rows, n = build_model(config), config.restarts, cost.n
    generator = torch.Generator().manual_seed(seed)
    dtype = getattr(torch, config.precision)
    noise = torch.randn(rows, *model.shape(n), dtype=dtype, generator=generator)
    theta = spread_starts(noise, rows, config.init_scale, config.spread)
    policy, memory = Free(theta), new_memory(config, cost, rows, theta.device)
    recorder = Recorder(cost, rows, dtype, theta.device, rows, memory)
    estimator = build_estimator(config, model, n, theta[:, :1], generator)
    collapse = new_collapse(config, policy, row_seeds(seed, rows))
    optimiser = OrderOptimiser(policy, estimator, recorder, config.samples, config.lr, config.critic.lr,
                               config.critic.updates, collapse=collapse)  # fmt: skip
    if start is not None:
        recorder(start.expand(rows, 1, n))
    for _ in range(config.critic.warmup if config.traits.control_variate else 0):
        optimiser.train_critic(generator)
    history = []
    for update in range(config.updates):
        estimate = optimiser.update(generator, apply_schedules(config, estimator, update))
        history.append(estimate.values.mean(-1))
        if callback is not None and callback(update, float(recorder.best.min())):
            break
    if config.kept_back:
        left = torch.tensor([config.evaluations - int(recorder.spent)])
        recorder.improve(left, generator, Problem().descend)
    winner = int(recorder.best.argmin())
    repeats = 0.0 if memory is None else memory.repeats
    return BestOrder(recorder.best_order[winner], float(recorder.best[winner]), int(recorder.spent), theta,
                     torch.stack(history), repeats)  # fmt: skip


def _configured(evaluations: int, starts: int, settings: dict[str, Any]) -> Config:
    chosen = settings.get("estimator", "rloo")
    values: dict[str, Any] = {"estimator": chosen, "lr": 0.1, "evaluations": evaluations, "runs": 1, "restarts": starts}
    values |= {"memory": True, "descent": 0.25}
    critic: dict[str, Any] = {"of": "black_box"}
    if chosen in ESTIMATORS and ESTIMATORS[chosen].leaves_one_out:
        # Many samples per update, and advantages without a unit, so that one step size suits every cost.
        values |= {"samples": max(2, min(32, evaluations // (50 * starts))), "scale_by_std": True}
    for name, value in settings.items():
        group, _, leaf = name.partition(".")
        if not leaf:
            values[name] = value
        elif group == "critic":
            critic[leaf] = value
        else:
            values[group] = {**values.get(group, {}), leaf: value}
    try:
        config = Config(**values, critic=critic)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"])
        message = problem["msg"].removeprefix("Value error, ").rstrip(".")
        if problem["type"] == "extra_forbidden":
            message = f"unknown setting {where!r}"
        elif where:
            message = f"{where}: found {problem['input']!r}; {message[0].lower()}{message[1:]}"
        raise SpecError(f"{message}; see `raybayes projects permutations`.") from None
    if config.traits.relaxed or (config.traits.control_variate and config.critic.of == "relaxed"):
        raise SpecError(
            f"found estimator = {config.estimator}, which needs a relaxation of f; for a black box use rloo,"
            f" reinforce_ema, or relax or relax_centred with critic.of = black_box."
        )
    return config


class _Rows:
    """The user's function as a `Cost`: (R, S, n) orders become rows."""

    rowwise = True

    def __init__(self, f: Callable[[Tensor], Any], n: int) -> None:
        self._f, self.n = f, n

    def __call__(self, order: Tensor) -> Tensor:
        rows = order.reshape(-1, self.n)
        answer = self._f(rows.clone())
        try:
            values = torch.as_tensor(answer, dtype=torch.float64).detach()
        except (TypeError, ValueError, RuntimeError) as error:
            raise SpecError(
                f"f returned {type(answer).__name__}, which is not convertible to numbers ({error})."
            ) from None
        if values.shape != rows.shape[:1]:
            raise SpecError(
                f"f returned shape {tuple(values.shape)} for {len(rows)} orders; it must return one number per "
                f"row, shape ({len(rows)},)."
            )
        return values.reshape(order.shape[:-1])
