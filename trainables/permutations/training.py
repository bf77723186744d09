"""The training function: an expectation over orders is minimised for many runs at once; reads from top to bottom."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import torch
from torch import Tensor

from raybayes.contract import Context
from trainables.permutations.build import build_estimator, build_model
from trainables.permutations.config import CONTROL_VARIATES, Config, max_steps
from trainables.permutations.costs import Recorder
from trainables.permutations.estimators import ControlVariate, Estimator, ScoreFunction
from trainables.permutations.measuring import Measured, measure
from trainables.permutations.optimiser import OrderOptimiser
from trainables.permutations.tasks.choose import choose
from trainables.permutations.tasks.problem import Control

Curve = dict[str, list[float]]


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
    f = Recorder(problem.cost, problem.rows, dtype, ctx.device)
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
    curves: Curve = {name: [] for name in ("run", "evaluations", "cost", "log_grad_var", "best", "mode")}

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
            if isinstance(estimator, ScoreFunction) and config.entropy:
                estimator.entropy = config.entropy * (1 - update / updates)
            estimate = optimiser.update(noise, _lr_factor(config, update))
            problem.learn(estimate.order)
            update += 1
        theta = policy.theta().detach()
        own, shared = ctx.rng(f"evaluation/{reported}/{ctx.rank}"), ctx.rng(f"mode/{reported}")
        found = measure(theta, estimator, model, f, config.samples, config.eval_samples, own, shared, problem.mask,
                        ctx.all_reduce)  # fmt: skip
        best, best_order = _best_of_all(ctx, f)
        reported += 1
        metrics = _metrics(found, best, f, ctx.world_size, estimator, config.runs)
        metrics |= problem.measure(best_order, found.mode_order, theta)
        _extend(curves, found, best, f.evaluations * ctx.world_size, config.runs)
        if reported == steps:
            if config.controls and ctx.rank == 0:
                budget = f.evaluations * ctx.world_size
                metrics |= _controls(problem.controls(budget, config.runs, ctx.rng("controls")), config.runs, ctx)
            if ctx.rank == 0:
                ctx.save_table("curves", pa.table(curves))
                ctx.save_table("orders", _orders(best, best_order, config.runs))
        ctx.report(metrics, state)


def _lr_factor(config: Config, update: int) -> float:
    if config.lr_decay == "none":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * update / config.updates))


def _best_of_all(ctx: Context, f: Recorder) -> tuple[Tensor, Tensor]:
    """The best cost (rows,) and order (rows, n) that any worker has sampled."""
    found = ctx.gather((f.best.cpu(), f.best_order.cpu()))
    values = torch.stack([best for best, _ in found])
    orders = torch.stack([order for _, order in found])
    lowest, who = values.min(0)
    return lowest.to(f.best.device), orders[who, torch.arange(values.shape[1])].to(f.best.device)


def _metrics(
    found: Measured, best: Tensor, f: Recorder, workers: int, estimator: Estimator, runs: int
) -> dict[str, float]:
    cost = found.expected.reshape(runs, -1).mean(1)
    metrics = {
        "cost": float(cost.mean()),
        "cost_se": float(cost.std() / math.sqrt(runs)) if runs > 1 else 0.0,
        "log_grad_var": float(found.log_grad_var.median()),
        "best": float(best.mean()),
        "mode": float(found.mode.mean()),
        "evaluations": float(f.evaluations * workers),
        "relaxed_evaluations": float(f.relaxed_evaluations * workers),
    }
    if isinstance(estimator, ControlVariate):
        metrics["tau"] = float(estimator.log_tau.detach().exp().median())
        metrics["eta"] = float(estimator.eta.detach().median())
    return metrics


def _extend(curves: Curve, found: Measured, best: Tensor, evaluations: int, runs: int) -> None:
    """One row a run; where a run has several distributions (queries), their mean."""
    per_run = {
        "cost": found.expected, "log_grad_var": found.log_grad_var, "best": best, "mode": found.mode,
    }  # fmt: skip
    curves["run"] += [float(run) for run in range(runs)]
    curves["evaluations"] += [float(evaluations)] * runs
    for name, column in per_run.items():
        curves[name] += column.reshape(runs, -1).mean(1).tolist()


def _orders(best: Tensor, order: Tensor, runs: int) -> pa.Table:
    row = torch.arange(len(best))
    run = (row * runs).div(len(best), rounding_mode="floor")
    return pa.table({"run": run.tolist(), "row": row.tolist(), "best": best.tolist(), "order": order.tolist()})


def _controls(controls: Iterable[Control], runs: int, ctx: Context) -> dict[str, float]:
    """Log and store what the other methods reached; the mean over runs of each as a metric."""
    columns: dict[str, list[Any]] = {"method": [], "metric": [], "run": [], "value": [], "evaluations": []}
    metrics: dict[str, float] = {}
    for control in controls:
        values = control.value.double()
        if len(values) > runs:  # several distributions a run: one number for each run
            values = values.reshape(runs, -1).mean(1)
        ctx.log.info("%s: %s %.6g (mean of %d runs, best %.6g) with %d evaluations a run", control.name,
                     control.metric, values.mean(), len(values), values.min(), control.evaluations)  # fmt: skip
        for run, value in enumerate(values.tolist()):
            row = (control.name, control.metric, run, value, control.evaluations)
            for column, cell in zip(columns.values(), row, strict=True):
                column.append(cell)
        name = control.name if control.metric == "cost" else f"{control.name}_{control.metric}"
        metrics[name] = float(values.mean())
    ctx.save_table("controls", pa.table(columns))
    return metrics
