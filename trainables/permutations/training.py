"""The training function: an expectation over orders is minimised for many runs at once; reads from top to bottom."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from raybayes.contract import Context
from trainables.permutations import recording
from trainables.permutations.build import build_estimator, build_model, course
from trainables.permutations.config import CONTROL_VARIATES, Config, max_steps
from trainables.permutations.costs import Recorder
from trainables.permutations.measuring import measure
from trainables.permutations.optimiser import OrderOptimiser
from trainables.permutations.tasks.choose import choose


def train(config: Config, ctx: Context) -> None:
    """Minimise E f for every run; at the end, give the same budget to searches without a gradient.

    Workers draw samples of their own and average their gradients, so W workers spend W times the evaluations and their
    gradient has 1/W of the variance. One report stands for an equal share of the updates.
    """
    dtype = getattr(torch, config.precision)
    like = torch.zeros(1, dtype=dtype, device=ctx.device)
    problem = choose(config, ctx, like)
    model = build_model(config)
    rows = torch.zeros(problem.rows, 1, dtype=dtype, device=ctx.device)
    policy = problem.policy(model.shape(problem.n), config.init_scale, rows, ctx.rng("theta"))
    f = Recorder(problem.cost, problem.rows, dtype, ctx.device, config.restarts)
    estimator = build_estimator(config, model, problem.n, rows, ctx.rng("critic"))
    optimiser = OrderOptimiser(
        policy,
        estimator,
        f,
        config.samples,
        config.lr,
        config.critic.lr,
        config.critic.updates,
        config.ranking.weight_decay if config.task == "ranking" else 0.0,
        problem.mask,
        ctx.all_reduce,
    )
    noise = ctx.rng(f"samples/{ctx.rank}")
    steps, updates, update, reported = max_steps(config), config.updates, 0, 0
    curves: recording.Curve = {name: [] for name in recording.CURVES}

    if (saved := ctx.resume()) is not None:
        optimiser.load(saved["optimiser"])
        problem.load(saved["problem"])
        noise.set_state(saved["noise"])
        update, reported, curves = saved["update"], saved["reported"], saved["curves"]

    def state() -> dict[str, Any]:
        return {
            "optimiser": optimiser.state(),
            "problem": problem.state(),
            "noise": noise.get_state(),
            "update": update,
            "reported": reported,
            "curves": {name: list(column) for name, column in curves.items()},
        }

    if saved is None and config.estimator in CONTROL_VARIATES:
        for _ in range(config.critic.warmup):
            optimiser.train_critic(noise)

    while reported < steps:
        while update < (reported + 1) * updates // steps:
            estimate = optimiser.update(noise, course(config, estimator, update))
            problem.learn(estimate.order)
            update += 1
        theta = policy.theta().detach()
        own, shared = ctx.rng(f"evaluation/{reported}/{ctx.rank}"), ctx.rng(f"mode/{reported}")
        found = measure(theta, estimator, model, f, config.samples, config.eval_samples, own, shared, problem.mask,
                        ctx.all_reduce)  # fmt: skip
        best, best_order, start = _winners(*_best_of_all(ctx, f), config.restarts)
        found = found.of(start)
        reported += 1
        scores = problem.measure(best_order, found.mode_order, theta)
        metrics = recording.metrics_of(found, best, f, ctx.world_size, estimator, config.runs, scores)
        recording.extend(curves, found, best, update, int(metrics["evaluations"]), config.runs)
        if reported == steps and ctx.rank == 0:
            budget = int(metrics["evaluations"])
            table = recording.Scores()
            for name, values in {"cost": best.reshape(config.runs, -1), "expected_cost": found.expected.reshape(
                                 config.runs, -1), **scores}.items():  # fmt: skip
                table.add(recording.TRAINED, name.removeprefix("test_"), values, budget)
            if config.controls:
                metrics |= table.add_controls(problem.controls(budget, config.runs, ctx.rng("controls")), ctx)
            ctx.save_table("scores", table.table())
            ctx.save_table("curves", recording.curves_table(curves, config))
            ctx.save_table("orders", recording.orders_table(best, best_order, config.runs))
            for name, kept in problem.pictures(best, best_order).items():
                ctx.save_table(name, kept)
        ctx.report(metrics, state)


def _winners(best: Tensor, order: Tensor, restarts: int) -> tuple[Tensor, Tensor, Tensor]:
    """Of each run's starts the one with the lowest cost: its cost (rows,), order (rows, n), and number (rows,)."""
    start = best.reshape(-1, restarts).argmin(1) + restarts * torch.arange(len(best) // restarts, device=best.device)
    return best[start], order[start], start


def _best_of_all(ctx: Context, f: Recorder) -> tuple[Tensor, Tensor]:
    """The best cost (rows,) and order (rows, n) that any worker has sampled."""
    found = ctx.gather((f.best.cpu(), f.best_order.cpu()))
    values = torch.stack([best for best, _ in found])
    orders = torch.stack([order for _, order in found])
    lowest, who = values.min(0)
    return lowest.to(f.best.device), orders[who, torch.arange(values.shape[1])].to(f.best.device)
