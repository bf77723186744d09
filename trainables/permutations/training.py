"""The training function: minimises an expectation over orders, for many runs at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from raybayes.contract import Context
from trainables.permutations import recording
from trainables.permutations.collapse import Collapse, row_seeds
from trainables.permutations.config import Config, max_steps
from trainables.permutations.costs import Cost, Recorder
from trainables.permutations.distributions.noise import Source
from trainables.permutations.estimators import Estimator
from trainables.permutations.estimators.build import apply_schedules, build_estimator, build_model
from trainables.permutations.measuring import Measured, measure
from trainables.permutations.memory import Memory, Seen
from trainables.permutations.optimiser import OrderOptimiser
from trainables.permutations.tasks.loaders import load_problem
from trainables.permutations.tasks.problem import Free, Policy, Problem

DRAWS = 100  # orders of the learnt distribution, for the tables


def train(config: Config, ctx: Context) -> None:
    """Minimise E f for every run; at the end, run the controls with the same budget.

    Each worker draws its own samples and gradients are averaged, so W workers spend W times the evaluations, and the
    gradient has 1/W of the variance. One report covers an equal share of the updates.
    """
    trial = Trial(config, ctx)
    while not trial.done:
        trial.advance()
        trial.report()


class Trial:
    """A trial at one of its reports, or at its start (report 0); it resumes from its newest checkpoint.

    Attributes:
        update: updates of theta so far.
        reported: reports so far.
        noise: generator of the updates' samples.
    """

    def __init__(self, config: Config, ctx: Context) -> None:
        self.config, self._ctx = config, ctx
        dtype = getattr(torch, config.precision)
        self.seed = ctx.rng("collapse").initial_seed()
        self.problem = load_problem(config, ctx, torch.zeros(1, dtype=dtype, device=ctx.device))
        self.model = build_model(config)
        like = torch.zeros(self.problem.rows, 1, dtype=dtype, device=ctx.device)
        shape = self.model.shape(self.problem.n)
        self.policy = self.problem.policy(shape, config.init_scale, config.spread, like, ctx.rng("theta"))
        memory = new_memory(config, self.problem.cost, self.problem.rows, ctx.device)
        self.f = Recorder(self.problem.cost, self.problem.rows, dtype, ctx.device, config.restarts, memory)
        self.estimator = build_estimator(config, self.model, self.problem.n, like, ctx.rng("critic"))
        self.optimiser = OrderOptimiser(
            self.policy,
            self.estimator,
            self.f,
            config.samples,
            config.lr,
            config.critic.lr,
            config.critic.updates,
            config.ranking.weight_decay if config.task == "ranking" else 0.0,
            self.problem.mask,
            ctx.all_reduce,
            new_collapse(config, self.policy, row_seeds(self.seed, self.problem.rows)),
        )
        self.noise = ctx.rng(f"samples/{ctx.rank}")
        self.update = self.reported = 0
        self._learnt: Tensor | None = None
        self._curves: recording.Curve = {name: [] for name in recording.CURVES}
        if (saved := ctx.resume()) is not None:
            self.optimiser.load(saved["optimiser"])
            self.problem.load(saved["problem"])
            if self.f.memory is not None:
                self.f.memory.load(saved["memory"])
            self.noise.set_state(saved["noise"])
            self.update, self.reported, self._curves = saved["update"], saved["reported"], saved["curves"]

    @property
    def done(self) -> bool:
        """Whether the last report has been made."""
        return self.reported >= max_steps(self.config)

    @property
    def due(self) -> int:
        """The number of updates before the next report."""
        return (self.reported + 1) * self.config.updates // max_steps(self.config)

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        return {
            "optimiser": self.optimiser.state(),
            "problem": self.problem.state(),
            "memory": [] if self.f.memory is None else self.f.memory.state(),
            "noise": self.noise.get_state(),
            "update": self.update,
            "reported": self.reported,
            "curves": {name: list(column) for name, column in self._curves.items()},
        }

    def advance(self) -> None:
        """Train up to the next report."""
        updates(self.config, self.optimiser, self.estimator, self.noise, range(self.update, self.due), self.problem)
        self.update = self.due
        self.finish()

    def finish(self) -> None:
        """After the last update: the descent, with the evaluations that are left."""
        if self.update < self.config.updates or not self.config.kept_back:
            return
        if self.optimiser.collapse is not None:  # what was learnt, before the descent finds something better
            self._learnt = self.optimiser.collapse.shown(self.policy.theta().detach(), self.f.best).clone()
        spent = self.f.memory.spent if self.f.memory is not None else [int(self.f.spent)] * self.config.runs
        left = self.config.evaluations - torch.tensor(spent)
        self.f.improve(left, self._ctx.rng(f"descent/{self._ctx.rank}"), self.problem.descend)
        if self.f.memory is None:
            self.f.evaluations = self.config.evaluations // self.config.restarts

    def report(self) -> None:
        """Measure and report; with the last report, store the tables.

        Raises:
            Stop: the sweep ends this trial.
        """
        config, ctx, f, problem = self.config, self._ctx, self.f, self.problem
        theta = self.policy.theta().detach()
        if self._learnt is not None:
            theta = self._learnt
        elif self.optimiser.collapse is not None:
            theta = self.optimiser.collapse.shown(theta, f.best)
        own, shared = ctx.rng(f"evaluation/{self.reported}/{ctx.rank}"), ctx.rng(f"mode/{self.reported}")
        found = measure(theta, self.estimator, self.model, f, config.samples, config.eval_samples, own, shared,
                        problem.mask, ctx.all_reduce)  # fmt: skip
        best, best_order, start = _winners(*_best_of_all(ctx, f), config.restarts)
        found = found.of(start)
        self.reported += 1
        scores = problem.measure(best_order, found.mode_order, theta, self.done)
        metrics = recording.metrics_of(found, best, f, ctx.world_size, self.estimator, config.runs, scores)
        if self.optimiser.collapse is not None:
            metrics["restarted"] = float(self.optimiser.collapse.restarted.sum()) / config.runs
            self._tell()
        recording.extend(self._curves, found, best, self.update, int(metrics["evaluations"]), config.runs)
        if self.done and ctx.rank == 0:
            for sentence in problem.remarks(float(best.min())):
                ctx.log.warning("%s", sentence)
            draws = self.model.draw(theta[start], DRAWS, ctx.rng("draws")).order
            metrics |= self._store(found, best, best_order, draws, scores, int(metrics["evaluations"]))
        ctx.report(metrics, self.state)

    def _tell(self) -> None:
        """Say, once, that starts have collapsed."""
        collapse, memory = self.optimiser.collapse, self.f.memory
        if self.done and collapse is not None and memory is not None and int(collapse.restarted.sum()):
            self._ctx.log.info(
                "%d starts drew hardly any new order and were begun anew; %.0f %% of all drawn orders had been seen.",
                int(collapse.restarted.sum()), 100 * memory.repeats)  # fmt: skip

    def _store(
        self, found: Measured, best: Tensor, order: Tensor, draws: Tensor, scores: Mapping[str, Tensor], budget: int
    ) -> dict[str, float]:
        """Store the tables; returns what the controls reached, as metrics."""
        config, ctx, table = self.config, self._ctx, recording.Scores()
        expected = found.expected.reshape(config.runs, -1)
        for name, values in {"cost": best.reshape(config.runs, -1), "expected_cost": expected, **scores}.items():
            table.add(recording.TRAINED, name.removeprefix("test_"), values, budget)
        metrics: dict[str, float] = {}
        if config.controls:
            budget = config.evaluations * ctx.world_size if config.remembers else budget
            metrics = table.add_controls(self.problem.controls(budget, config.runs, ctx.rng("controls")), ctx)
        ctx.save_table("scores", table.table())
        ctx.save_table("curves", recording.curves_table(self._curves, config))
        ctx.save_table("orders", recording.orders_table(best, order, config.runs))
        for name, kept in self.problem.pictures(best, order, draws).items():
            ctx.save_table(name, kept)
        return metrics


def new_memory(config: Config, cost: Cost, rows: int, device: torch.device) -> Memory | None:
    """The memory of a trial's runs, if it has one."""
    if not config.remembers:
        return None
    seen = [Seen() for _ in range(rows // config.restarts)]
    return Memory(cost.n, seen, bool(getattr(cost, "rowwise", False)), device)


def new_collapse(config: Config, policy: Policy, seeds: list[int]) -> Collapse | None:
    """What restarts starts that have collapsed, if that is noticed."""
    if not config.remembers or config.collapse == 1 or not isinstance(policy, Free):
        return None
    return Collapse(policy, config.collapse, config.spread, seeds)


def updates(
    config: Config, optimiser: OrderOptimiser, estimator: Estimator, noise: Source, numbers: range, problem: Problem
) -> None:
    """Make the updates with these numbers; the control variate's warm-up precedes the very first."""
    if numbers.start == 0 and config.traits.control_variate:
        for _ in range(config.critic.warmup):
            optimiser.train_critic(noise)
    for number in numbers:
        problem.learn(optimiser.update(noise, apply_schedules(config, estimator, number)).order)


def _winners(best: Tensor, order: Tensor, restarts: int) -> tuple[Tensor, Tensor, Tensor]:
    """The start with the lowest cost of each run: its cost (rows,), order (rows, n), and number (rows,)."""
    start = best.reshape(-1, restarts).argmin(1) + restarts * torch.arange(len(best) // restarts, device=best.device)
    return best[start], order[start], start


def _best_of_all(ctx: Context, f: Recorder) -> tuple[Tensor, Tensor]:
    """The best cost (rows,) and order (rows, n) that any worker has sampled."""
    found = ctx.gather((f.best.cpu(), f.best_order.cpu()))
    values = torch.stack([best for best, _ in found])
    orders = torch.stack([order for _, order in found])
    lowest, who = values.min(0)
    return lowest.to(f.best.device), orders[who, torch.arange(values.shape[1])].to(f.best.device)
