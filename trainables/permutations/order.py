"""Minimise your own function of an ordering: `minimise_order(f, n)`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from raybayes.errors import SpecError
from trainables.permutations.config import ESTIMATORS, Config
from trainables.permutations.costs import Recorder
from trainables.permutations.estimators.build import apply_schedules, build_estimator, build_model
from trainables.permutations.optimiser import OrderOptimiser
from trainables.permutations.tasks.problem import Free


@dataclass(frozen=True)
class BestOrder:
    """The result of a search for an order.

    Args:
        order: (n,), the item of each place; the order with the lowest cost that was evaluated.
        cost: its cost.
        evaluations: costs evaluated, all runs together.
        theta: (runs, n) or (runs, n, n), the trained parameters.
        history: (updates, runs), mean cost of each update's samples.
    """

    order: Tensor
    cost: float
    evaluations: int
    theta: Tensor
    history: Tensor


def minimise_order(
    f: Callable[[Tensor], Any], n: int, evaluations: int = 20_000, runs: int = 4, seed: int = 0, **settings: Any
) -> BestOrder:
    """Search for an order of n items with a low cost, given only the cost's values.

    Each of `runs` independent searches trains a Plackett-Luce distribution by leave-one-out gradients and spends
    `evaluations / runs` evaluations; the best order of all is returned.

    Args:
        f: maps orders (m, n) int64, each row a permutation of 0 .. n-1 with the first item first, to m finite numbers
            (a tensor, an array, a list).
        n: number of items, at least 2.
        evaluations: number of orders to evaluate, all runs together.
        runs: independent searches.
        seed: of every random draw.
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
    if isinstance(n, bool) or not isinstance(n, int) or n < 2:
        raise SpecError(f"found n = {n!r}; an order needs an integer n >= 2.")
    if runs < 1 or evaluations < runs:
        raise SpecError(f"found evaluations = {evaluations} for runs = {runs}; each run needs at least one evaluation.")
    if "restarts" in settings:
        raise SpecError("minimise_order has no option 'restarts'; its runs share the evaluations: raise runs instead.")
    config = _configured(evaluations // runs, runs, settings)
    model = build_model(config)
    generator = torch.Generator().manual_seed(seed)
    dtype = getattr(torch, config.precision)
    theta = config.init_scale * torch.randn(runs, *model.shape(n), dtype=dtype, generator=generator)
    recorder = Recorder(_Rows(f, n), runs, dtype, theta.device)
    estimator = build_estimator(config, model, n, theta[:, :1], generator)
    optimiser = OrderOptimiser(
        Free(theta), estimator, recorder, config.samples, config.lr, config.critic.lr, config.critic.updates
    )
    if config.traits.control_variate:
        for _ in range(config.critic.warmup):
            optimiser.train_critic(generator)
    history = torch.stack(
        [
            optimiser.update(generator, apply_schedules(config, estimator, update)).values.mean(-1)
            for update in range(config.updates)
        ]
    )
    winner = int(recorder.best.argmin())
    return BestOrder(
        recorder.best_order[winner], float(recorder.best[winner]), recorder.evaluations * runs, theta, history
    )


def _configured(evaluations: int, runs: int, settings: dict[str, Any]) -> Config:
    chosen = settings.get("estimator", "rloo")
    values: dict[str, Any] = {"estimator": chosen, "lr": 0.1, "evaluations": evaluations, "runs": runs}
    critic: dict[str, Any] = {"of": "black_box"}
    if chosen in ESTIMATORS and ESTIMATORS[chosen].leaves_one_out:
        # Many samples per update, and advantages without a unit, so that one step size suits every cost.
        values |= {"samples": max(2, min(32, evaluations // 50)), "scale_by_std": True}
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
