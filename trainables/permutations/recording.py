"""What a run stores: metrics of a report, and the tables `curves`, `scores` and `orders`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa
import torch
from torch import Tensor

from raybayes.contract import Context
from trainables.permutations.config import Config
from trainables.permutations.costs import Recorder
from trainables.permutations.estimators import ControlVariate, Estimator
from trainables.permutations.measuring import Measured
from trainables.permutations.tasks.problem import Control

Curve = dict[str, list[float]]
CURVES = ("run", "update", "evaluations", "cost", "log_grad_var", "best", "mode")
TRAINED = "trained"  # the method's name in `scores`


def standard_error(values: Tensor) -> float:
    """Of the mean over runs of values (runs,) or (runs, 1), or over units (queries) of (runs, units); 0 for one."""
    over = values.double().flatten() if values.ndim == 1 or values.shape[1] == 1 else values.double().mean(0)
    return float(over.std() / math.sqrt(len(over))) if len(over) > 1 else 0.0


def metrics_of(
    found: Measured, best: Tensor, f: Recorder, workers: int, estimator: Estimator, runs: int, own: Mapping[str, Tensor]
) -> dict[str, float]:
    """The metrics of one report.

    Args:
        found, best: of each run, or of each of its queries.
        own: the task's scores, from `Problem.measure`.
    """
    cost, lowest = (values.reshape(runs, -1).mean(1) for values in (found.expected, best))
    metrics = {
        "cost": float(cost.mean()),
        "cost_se": standard_error(cost),
        "log_grad_var": float(found.log_grad_var.median()),
        "best": float(lowest.mean()),
        "best_se": standard_error(lowest),
        "mode": float(found.mode.mean()),
        "evaluations": f.spent * workers,
        "relaxed_evaluations": float(f.relaxed_evaluations * f.restarts * workers),
    }
    if isinstance(estimator, ControlVariate):
        metrics["tau"] = float(estimator.log_tau.exp().median())
        metrics["eta"] = float(estimator.eta.median())
    if f.memory is not None:
        metrics["repeats"] = f.memory.repeats
    for name, values in own.items():
        metrics[name] = float(values.double().mean())
        if name in WITH_ERROR:
            metrics[f"{name}_se"] = standard_error(values)
    return metrics


WITH_ERROR = ("gap", "shd", "skeleton_shd", "cpdag_shd", "sid", "excess", "test_ndcg5", "test_ndcg10")


def extend(curves: Curve, found: Measured, best: Tensor, update: int, evaluations: int, runs: int) -> None:
    """Append one row per run; a run with several distributions (queries) gets their mean."""
    columns = {"cost": found.expected, "log_grad_var": found.log_grad_var, "best": best, "mode": found.mode}
    curves["run"] += [float(run) for run in range(runs)]
    curves["update"] += [float(update)] * runs
    curves["evaluations"] += [float(evaluations)] * runs
    for name, column in columns.items():
        curves[name] += column.reshape(runs, -1).mean(1).tolist()


def curves_table(curves: Curve, config: Config) -> pa.Table:
    """The curves, with columns that distinguish this trial from others."""
    count = len(curves["run"])
    named = {"estimator": config.estimator, "model": config.model, "samples": config.samples, "place": config.place}
    return pa.table({**curves, **{name: [value] * count for name, value in named.items()}})


def orders_table(best: Tensor, order: Tensor, runs: int) -> pa.Table:
    """The best order of each run (and query)."""
    row = torch.arange(len(best))
    run = (row * runs).div(len(best), rounding_mode="floor")
    return pa.table({"run": run.tolist(), "row": row.tolist(), "best": best.tolist(), "order": order.tolist()})


class Scores:
    """The table `scores`: what the trained distributions and the controls reached, value by value.

    Columns: method, metric, run, unit (the query; 0 if there is only one), value, evaluations.
    """

    def __init__(self) -> None:
        names = ("method", "metric", "run", "unit", "value", "evaluations")
        self._columns: dict[str, list[Any]] = {name: [] for name in names}

    def add(self, method: str, metric: str, values: Tensor, evaluations: int) -> None:
        """Values (runs,) or (runs, units)."""
        for run, row in enumerate(values.double().reshape(len(values), -1).tolist()):
            for unit, value in enumerate(row):
                cells = (method, metric, run, unit, value, evaluations)
                for column, cell in zip(self._columns.values(), cells, strict=True):
                    column.append(cell)

    def add_controls(self, controls: Iterable[Control], ctx: Context) -> dict[str, float]:
        """Log and record what the controls reached; returns the mean of each as a metric."""
        metrics: dict[str, float] = {}
        for control in controls:
            ctx.log.info("%s: %s %.6g ± %.2g (%d runs, lowest %.6g) with %d evaluations a run", control.name,
                         control.metric, control.value.mean(), standard_error(control.value), len(control.value),
                         control.value.min(), control.evaluations)  # fmt: skip
            self.add(control.name, control.metric, control.value, control.evaluations)
            name = control.name if control.metric == "cost" else f"{control.name}_{control.metric}"
            metrics[name] = float(control.value.double().mean())
        return metrics

    def table(self) -> pa.Table:
        return pa.table(self._columns)
