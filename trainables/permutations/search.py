"""The search behind `minimise_order`: updates, a descent, and a state that an interrupted search continues from."""

from __future__ import annotations

import os
import pickle
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from raybayes.errors import SpecError
from trainables.permutations.allowed import Allowed
from trainables.permutations.collapse import row_seeds
from trainables.permutations.config import Config
from trainables.permutations.costs import Recorder
from trainables.permutations.estimators.build import apply_schedules, build_estimator, build_model
from trainables.permutations.optimiser import OrderOptimiser
from trainables.permutations.tasks.problem import Free, Problem, spread_starts
from trainables.permutations.training import new_collapse, new_memory

STORED_EVERY = 10.0  # seconds
SHOWN_EVERY = 1.0
CHECKED_FROM = 100  # evaluations from which one is spent on a second look at an order


class RowsCost:
    """The user's function as a `Cost`: (R, S, n) orders become rows; the best of all orders are kept.

    Args:
        repeats: how often each order is evaluated; its cost is the mean.
        keep: how many orders are kept.

    Attributes:
        orders, costs: (at most keep, n) and (at most keep,), the best first.
    """

    rowwise = True

    def __init__(self, f: Callable[[Tensor], Any], n: int, repeats: int = 1, keep: int = 1) -> None:
        self._f, self.n, self.repeats, self._keep = f, n, repeats, keep
        self.orders = torch.zeros(0, n, dtype=torch.long)
        self.costs = torch.zeros(0, dtype=torch.float64)

    def __call__(self, order: Tensor) -> Tensor:
        rows = order.reshape(-1, self.n)
        values = self.once(rows)
        for _ in range(self.repeats - 1):
            values = values + self.once(rows)
        values = values / self.repeats
        if torch.isfinite(values).all():
            self._remember(rows.cpu(), values.cpu())
        return values.reshape(order.shape[:-1])

    def once(self, rows: Tensor) -> Tensor:
        """One call of the function."""
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
        return values.to(rows.device)

    def _remember(self, rows: Tensor, values: Tensor) -> None:
        worst = self.costs[-1] if len(self.costs) == self._keep else torch.inf
        if not (values < worst).any():
            return
        first = values.argsort(stable=True)[: 4 * self._keep]
        orders, costs = torch.cat([self.orders, rows[first]]), torch.cat([self.costs, values[first]])
        kept: dict[tuple[int, ...], int] = {}
        for at in costs.argsort(stable=True).tolist():
            kept.setdefault(tuple(orders[at].tolist()), at)
            if len(kept) == self._keep:
                break
        chosen = list(kept.values())
        self.orders, self.costs = orders[chosen], costs[chosen]


class OrderSearch:
    """One call of `minimise_order`.

    Args:
        config: of one run with as many starts as the caller's runs.
        allowed: the orders that may be evaluated; None: all.
        start: (n,), an order that is evaluated first; None: none is.

    Attributes:
        history: of each update, the mean cost of its samples, (runs,).
    """

    def __init__(
        self, config: Config, cost: RowsCost, seed: int, device: torch.device, allowed: Allowed | None,
        start: Tensor | None,
    ) -> None:  # fmt: skip
        self._config, self._cost, self._seed, self._start = config, cost, seed, start
        self._generator = torch.Generator().manual_seed(seed)
        model, rows, dtype = build_model(config), config.restarts, getattr(torch, config.precision)
        noise = torch.randn(rows, *model.shape(cost.n), dtype=dtype, generator=self._generator)
        self.theta = spread_starts(noise, rows, config.init_scale, config.spread).to(device)
        policy = Free(self.theta)
        self._memory = new_memory(config, cost, rows, device)
        self._recorder = Recorder(cost, rows, dtype, device, rows, self._memory, allowed)
        self._estimator = build_estimator(config, model, cost.n, self.theta.flatten(1)[:, :1], self._generator)
        collapse = new_collapse(config, policy, row_seeds(seed, rows))
        self._optimiser = OrderOptimiser(policy, self._estimator, self._recorder, config.samples, config.lr,
                                         config.critic.lr, config.critic.updates, collapse=collapse)  # fmt: skip
        self.history: list[Tensor] = []
        self._warm, self._stored, self._shown, self._extra = False, time.monotonic(), 0.0, 0
        self._demands = [] if allowed is None else allowed(torch.stack([torch.randperm(
            cost.n, generator=torch.Generator().manual_seed(i)) for i in range(8)])).tolist()  # fmt: skip

    @property
    def best(self) -> float:
        return float(self._recorder.best.min())

    @property
    def best_order(self) -> Tensor:
        return self._recorder.best_order[int(self._recorder.best.argmin())]

    @property
    def evaluations(self) -> int:
        return int(self._recorder.spent) + self._extra

    @property
    def repeats(self) -> float:
        return 0.0 if self._memory is None else self._memory.repeats

    def run(self, callback: Callable[[int, float], object] | None, progress: bool, path: Path | None) -> None:
        """Make the updates and the descent, continuing from the file if it exists."""
        if path is not None and path.exists():
            self._load(path)
        if not self._warm:
            self._warm_up()
        for update in range(len(self.history), self._config.updates):
            estimate = self._optimiser.update(self._generator, apply_schedules(self._config, self._estimator, update))
            self.history.append(estimate.expected)
            self._report(progress, path)
            if callback is not None and callback(update, self.best):
                break
        if path is not None:
            self._store(path)  # before the descent, so that a search with more evaluations updates on
        left = self._config.evaluations - self.evaluations
        if self._config.kept_back and left > 0:
            self._recorder.improve(torch.tensor([left]), self._generator, Problem().descend)
        if progress:
            self._show("\n")

    def _warm_up(self) -> None:
        config, rows, n = self._config, self._config.restarts, self._cost.n
        if self._cost.repeats == 1 and config.kept_back and config.evaluations >= CHECKED_FROM:
            self._require_same()
        if self._start is not None:
            self._recorder(self._start.to(self.theta.device).expand(rows, 1, n))
        for _ in range(config.critic.warmup if config.traits.control_variate else 0):
            self._optimiser.train_critic(self._generator)
        self._warm = True

    def _require_same(self) -> None:
        """Evaluate one order a second time, which is counted too; SpecError if the costs differ."""
        order = self._start if self._start is not None else torch.randperm(self._cost.n, generator=self._generator)
        order = order.to(self.theta.device).reshape(1, 1, -1)
        if self._recorder.allowed is not None:
            order = self._recorder.allowed(order)
        one = float(self._recorder(order.expand(self._config.restarts, 1, -1))[0, 0])
        two = float(self._recorder.look(order))
        self._extra = 1
        if abs(one - two) > 1e-6 * (1 + abs(one)):
            raise SpecError(
                f"f gives {one:g}, then {two:g} for the order {order.flatten().tolist()}: it is random. Pass"
                f" repeats=10, say, to minimise the mean of 10 evaluations of each order."
            )

    def _report(self, progress: bool, path: Path | None) -> None:
        now = time.monotonic()
        if path is not None and now - self._stored > STORED_EVERY:
            self._store(path)
            self._stored = now
        if progress and now - self._shown > SHOWN_EVERY:
            self._show("\r" if sys.stderr.isatty() else "\n")
            self._shown = now

    def _show(self, end: str) -> None:
        text = f"{self.evaluations:,} of {self._config.evaluations:,} evaluations, lowest cost {self.best:.6g}"
        print(text, end=end, file=sys.stderr, flush=True)

    def _identity(self) -> dict[str, Any]:
        """What a stored search must share with this one."""
        values = self._config.model_dump()
        values.pop("evaluations")
        kept = {"n": self._cost.n, "seed": self._seed, "repeats": self._cost.repeats, "runs": values.pop("restarts")}
        start = None if self._start is None else self._start.tolist()
        return {**kept, "start": start, "fixed and before": self._demands, **values}

    def _store(self, path: Path) -> None:
        state = {
            "schema": 1, "identity": self._identity(), "optimiser": self._optimiser.state(),
            "memory": None if self._memory is None else self._memory.state(), "extra": self._extra,
            "generator": self._generator.get_state(), "history": self.history, "orders": self._cost.orders,
            "costs": self._cost.costs,
        }  # fmt: skip
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        torch.save(state, part)
        part.replace(path)

    def _load(self, path: Path) -> None:
        try:
            state = torch.load(path, map_location=self.theta.device, weights_only=True)
            identity = state["identity"]
        except (OSError, RuntimeError, KeyError, TypeError, EOFError, pickle.UnpicklingError) as error:
            reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
            raise SpecError(f"resume: {path} holds no search that can be continued ({reason}); name another file or"
                            f" remove it.") from None  # fmt: skip
        for name, value in self._identity().items():
            if identity.get(name) != value:
                raise SpecError(f"resume: {path} was made with {name} = {identity.get(name)!r}, found {value!r}; use"
                                f" the same, or another file.")  # fmt: skip
        self._optimiser.load(state["optimiser"])
        if self._memory is not None:
            self._memory.load(state["memory"])
        self._generator.set_state(state["generator"].cpu())
        self.history, self._extra, self._warm = list(state["history"]), state["extra"], True
        self._cost.orders, self._cost.costs = state["orders"].cpu(), state["costs"].cpu()
