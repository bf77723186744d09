"""The estimators of a sweep compared with each other and with the controls, with standard errors."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from raybayes.contract import Finished

Array = npt.NDArray[np.float64]
SHOWN = (
    0.1,
    0.4,
    1.0,
)  # of the evaluations: the paper's toy at 5,000, 20,000 and 50,000; more columns do not fit a terminal
ROUNDING = 1e-12
LEFT = 0.1  # a curve has converged when this share of the way from its start to the optimum remains
SCORES = ("gap", "excess", "skeleton_shd", "cpdag_shd", "sid", "shd", "ndcg5", "ndcg10", "cost")  # the order of columns
RIVAL = "listnet"  # the control that rankings are compared with, query by query


@dataclass(frozen=True)
class Entry:
    """One estimator of a sweep, by its best trial.

    Args:
        label: the estimator, with the model and the number of samples where they distinguish it from others.
        trial: its number.
        evaluations: (reports,), of f, each run; updates for the exact gradient, which evaluates all orders once.
        curves: metric -> (runs, reports); repeats of the trial are more runs.
        scores: (method, metric) -> (runs, units).
        spent: method -> evaluations per run.
    """

    label: str
    trial: int
    evaluations: Array
    curves: dict[str, Array]
    scores: dict[tuple[str, str], Array] = field(default_factory=dict)
    spent: dict[str, int] = field(default_factory=dict)

    @property
    def final_cost(self) -> float:
        return float(self.curves["cost"][:, -1].mean())


def mean_and_error(values: Array) -> tuple[float, float]:
    """The mean and its standard error: nan for one value, 0 where they differ by rounding only."""
    mean, error = float(values.mean()), math.nan
    if len(values) > 1:
        error = float(values.std(ddof=1) / math.sqrt(len(values)))
        error = error if error > ROUNDING * abs(mean) else 0.0
    return mean, error


def entries(finished: Finished) -> dict[str, list[Entry]]:
    """By place (task and instance), the best trial of each label, lowest final cost first."""
    found: dict[str, dict[str, Entry]] = {}
    scores = _by_trial(finished.table("scores"))
    for trial, rows in _by_trial(finished.table("curves")).items():
        entry = _entry(trial, rows, scores.get(trial, []))
        listed = found.setdefault(rows[0]["place"], {})
        if entry.label not in listed or entry.final_cost < listed[entry.label].final_cost:
            listed[entry.label] = entry
    return {place: sorted(listed.values(), key=lambda one: one.final_cost) for place, listed in found.items()}


def _by_trial(table: pa.Table) -> dict[int, list[dict[str, Any]]]:
    grouped: dict[int, list[dict[str, Any]]] = {}
    for row in table.to_pylist():
        grouped.setdefault(row["trial"], []).append(row)
    return grouped


def _entry(trial: int, rows: Sequence[dict[str, Any]], scored: Sequence[dict[str, Any]]) -> Entry:
    axis = "update" if rows[0]["estimator"] == "exact" else "evaluations"
    at = sorted({row[axis] for row in rows})
    runs = sorted({(row["repeat"], row["run"]) for row in rows})
    where = {run: i for i, run in enumerate(runs)}, {evaluations: i for i, evaluations in enumerate(at)}
    curves = {name: np.full((len(runs), len(at)), math.nan) for name in ("cost", "log_grad_var", "best")}
    for row in rows:
        place = where[0][row["repeat"], row["run"]], where[1][row[axis]]
        for name, values in curves.items():
            values[place] = row[name]
    listed: dict[tuple[str, str], dict[tuple[int, int], list[float]]] = {}
    for row in scored:
        of_run = listed.setdefault((row["method"], row["metric"]), {})
        of_run.setdefault((row["repeat"], row["run"]), []).append(row["value"])
    scores = {key: np.array(list(of_run.values())) for key, of_run in listed.items()}
    spent = {row["method"]: row["evaluations"] for row in scored}
    return Entry(_label(rows[0]), trial, np.array(at), curves, scores, spent)


def _label(row: dict[str, Any]) -> str:
    several = f", K = {row['samples']}" if row["estimator"] in ("rloo", "e_reinforce_plus", "t_reinforce_plus") else ""
    return f"{row['estimator']}{several}" + (", matching" if row["model"] == "matching" else "")


def curve_table(listed: Sequence[Entry]) -> pa.Table:
    """E f during training, and the evaluations until a tenth of the way from the start to the optimum remained."""
    start = max(entry.curves["cost"][:, 0].mean() for entry in listed)
    lowest = min(float(np.nanmin(entry.curves["best"])) for entry in listed)
    goal = lowest + LEFT * (start - lowest)
    rows = []
    for entry in listed:
        arrived = np.flatnonzero(entry.curves["cost"].mean(0) <= goal)
        when = f"{entry.evaluations[arrived[0]]:,.0f}" if len(arrived) else "never"
        rows.append({"estimator": entry.label, f"to {goal:.4g}": when, **_along(entry, "cost", _last(listed))})
    return pa.Table.from_pylist(rows)


def variance_table(listed: Sequence[Entry]) -> pa.Table:
    """LogGradVar during training, of estimators whose gradient varies."""
    rows = [_along(entry, "log_grad_var", _last(listed)) for entry in listed if not entry.label.startswith("exact")]
    return pa.Table.from_pylist(rows)


def _last(listed: Sequence[Entry]) -> float:
    return float(max(entry.evaluations[-1] for entry in listed))


def _along(entry: Entry, metric: str, last: float) -> dict[str, Any]:
    values = entry.curves[metric]
    row: dict[str, Any] = {"estimator": entry.label, "n": len(values)}
    for share in SHOWN:
        i = int(np.abs(entry.evaluations - share * last).argmin())
        name = f"{share * last:,.0f}"
        row[name], row[f"{name}.se"] = mean_and_error(values[:, i])
    return row


def score_table(listed: Sequence[Entry]) -> pa.Table | None:
    """The trained distributions, and the controls of that with the largest budget: mean and standard error over runs.

    Rankings are scored query by query: there n counts test queries, a query's value is its mean over runs, and the last
    column is the paired difference to ListNet on the same queries.
    """
    names = [name for name in SCORES if ("trained", name) in listed[0].scores]
    if not names:
        return None
    rows = [_score_row(entry.label, "trained", entry, names) for entry in listed]
    source = max(listed, key=lambda entry: entry.spent["trained"])
    others = list(dict.fromkeys(method for method, _ in source.scores if method != "trained"))
    rows += [_score_row(method.replace("_", " "), method, source, names) for method in others]
    return pa.Table.from_pylist(rows)


def _score_row(title: str, method: str, entry: Entry, names: Iterable[str]) -> dict[str, Any]:
    row: dict[str, Any] = {"method": title, "n": None, "evaluations": entry.spent.get(method)}
    for name in names:
        values = entry.scores.get((method, name))
        row[name], row[f"{name}.se"] = (None, None) if values is None else mean_and_error(_units(values, name))
        if values is not None and row["n"] is None:
            row["n"] = len(_units(values, name))
        if name == "ndcg10":
            rival = entry.scores.get((RIVAL, name))
            paired = None if values is None or rival is None else _units(values, name) - _units(rival, name)
            row["- ListNet"], row["- ListNet.se"] = (None, None) if paired is None else mean_and_error(paired)
    return row


def _units(values: Array, name: str) -> Array:
    """What the mean is over: test queries for NDCG, else runs."""
    return np.asarray(values.mean(0) if name.startswith("ndcg") else values.mean(1))
