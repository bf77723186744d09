"""The configurations of a sweep compared: one row each, folds and seeds pooled."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from raybayes.contract import Finished

# Values in which the runs of one row may differ.
POOLED = ("ocr.fold",)
# Values that form a row's name; other values that vary in the sweep follow it.
NAMED = ("method", "label_smoothing", "rollin", "rollout", "loss")


@dataclass(frozen=True)
class Run:
    """One trial with one seed.

    Args:
        reports: its reports, in order.
        seconds: processor seconds of training at each of them.
    """

    trial: int
    repeat: int
    reports: tuple[Mapping[str, Any], ...]
    seconds: tuple[float, ...]

    def at(self, axis: str, where: float, metric: str) -> float | None:
        """A metric at an iteration or after processor seconds, linear between reports; None outside of them."""
        points = [
            (float(report["iteration"]) if axis == "iteration" else seconds, float(report[metric]))
            for report, seconds in zip(self.reports, self.seconds, strict=True)
            if report.get(metric) is not None
        ]
        if not points or where < points[0][0] or where > points[-1][0] * (1 + 1e-9):
            return None
        x, y = zip(*points, strict=True)
        return float(np.interp(where, x, y))


@dataclass(frozen=True)
class Line:
    """A configuration, its folds and seeds pooled.

    Args:
        name: what varies in the sweep, in words.
        config: one of its configurations.
        folds: how many folds are pooled.
    """

    name: str
    config: Mapping[str, Any]
    runs: tuple[Run, ...]
    folds: int

    def values(self, axis: str, where: float, metric: str) -> list[float]:
        """The metric of the runs that reached `where`."""
        found = (run.at(axis, where, metric) for run in self.runs)
        return [value for value in found if value is not None]

    def last(self, metric: str) -> list[float]:
        """The metric of each run's last report."""
        return [float(run.reports[-1][metric]) for run in self.runs if run.reports[-1].get(metric) is not None]


def mean_and_error(values: Iterable[float]) -> tuple[float | None, float | None]:
    """Mean and standard error of the mean; None without values, or for the error of one."""
    found = np.array(list(values), np.float64)
    if not len(found):
        return None, None
    return float(found.mean()), float(found.std(ddof=1) / math.sqrt(len(found))) if len(found) > 1 else None


def lines(finished: Finished) -> list[Line]:
    """All configurations with at least one report, best last error first."""
    if "setup" not in finished.tables:
        return []
    configs = {row["trial"]: _flat(json.loads(row["config"])) for row in finished.table("setup").to_pylist()}
    seconds = _seconds(finished)
    runs: dict[tuple[int, int], list[Mapping[str, Any]]] = {}
    for report in finished.reports.to_pylist():
        runs.setdefault((report["trial"], report["repeat"]), []).append(report)
    found_runs: list[tuple[int, Run]] = []
    for (trial, repeat), reports in sorted(runs.items()):
        newest = {report["step"]: report for report in reports}  # a resumed run reports a step again
        ordered = [newest[step] for step in sorted(newest)]
        spent = seconds.get((trial, repeat), {})
        if trial not in configs or any(report["step"] not in spent for report in ordered):
            continue  # it has started, but not stored its tables
        run = Run(trial, repeat, tuple(ordered), tuple(spent[report["step"]] for report in ordered))
        found_runs.append((trial, run))
    whole = [(trial, run) for trial, run in found_runs if len(run.reports) >= _steps(configs[trial])]
    groups: dict[str, list[tuple[int, Run]]] = {}
    names = names_of(configs)
    for trial, run in whole or found_runs:  # stopped and unfinished runs would lower the common cost
        groups.setdefault(names[trial], []).append((trial, run))
    found = [
        Line(
            name,
            configs[members[0][0]],
            tuple(run for _, run in members),
            len({tuple(configs[trial].get(key) for key in POOLED) for trial, _ in members}),
        )
        for name, members in groups.items()
    ]
    return sorted(found, key=lambda line: (_error(line), line.name))


def _error(line: Line) -> float:
    values = line.last("test_error") or line.last("val_error")
    return float(np.mean(values)) if values else math.inf


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"model": {"hidden": 64}} -> {"model.hidden": 64}."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return found


def _seconds(finished: Finished) -> dict[tuple[int, int], dict[int, float]]:
    """(trial, repeat) -> report -> processor seconds of training so far."""
    if "progress" not in finished.tables:
        return {}
    found: dict[tuple[int, int], dict[int, float]] = {}
    for row in finished.table("progress").to_pylist():
        if row["phase"] == "training":
            found.setdefault((row["trial"], row["repeat"]), {})[row["report"]] = row["cost_seconds"]
    return found


def _steps(config: Mapping[str, Any]) -> int:
    """Reports of a full run."""
    reports = int(config["reports"])
    return reports if config.get("cpu_seconds") is not None else min(reports, int(config["iterations"]))


def names_of(configs: Mapping[int, Mapping[str, Any]]) -> dict[int, str]:
    """trial -> SeaRNN with loss and roll-in/roll-out, MLE with its smoothing, or the method; then other values that
    vary between configurations of that name.
    """
    groups: dict[str, list[int]] = {}
    for trial, config in configs.items():
        groups.setdefault(_short_name(config), []).append(trial)
    found = {}
    for name, trials in groups.items():
        varying = [
            key
            for key in configs[trials[0]]
            if key not in (*NAMED, *POOLED)
            and len({json.dumps(configs[trial].get(key), default=str) for trial in trials}) > 1
        ]
        for trial in trials:
            found[trial] = ", ".join([name, *(f"{key} {_short(configs[trial][key])}" for key in varying)])
    return found


def _short_name(config: Mapping[str, Any]) -> str:
    method = str(config["method"])
    if method == "searnn":
        return f"SeaRNN {str(config['loss']).upper()}, {config['rollin']}/{config['rollout']}"
    if method != "mle":
        return method.replace("_", " ")
    smoothing = config.get("label_smoothing") or 0
    return f"MLE, smoothing {smoothing:g}" if smoothing else "MLE"


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def as_table(rows: list[dict[str, Any]]) -> pa.Table:
    """Rows with equal keys; a column without values gets the type of numbers."""
    table = pa.Table.from_pylist(rows)
    fields = [pa.field(f.name, pa.float64()) if pa.types.is_null(f.type) else f for f in table.schema]
    return table.cast(pa.schema(fields))
