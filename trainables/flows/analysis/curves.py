"""Validation error and bits per dimension over training, one line per setting."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from trainables.flows.analysis.comparison import settings

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito, "Color Universal Design" (2008).
_COLOURS = ("#000000", "#D55E00", "#0072B2", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#8C8C8C")
_PANELS = (("error", "validation error"), ("bpd", "bits/dim"))


def curves(reports: pa.Table, runs: pa.Table) -> Figure:
    """The error, and bits/dim beside it: means over runs, bands of one standard error.

    Args:
        reports: of the whole sweep.
        runs: the table "run"; the eight settings of lowest validation error are drawn.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    newest = {(row["trial"], row["repeat"], row["step"]): row for row in reports.to_pylist()}
    known = [panel for panel in _PANELS if any(row.get(panel[0]) is not None for row in newest.values())]
    lines = settings(runs)[: len(_COLOURS)]
    figure = Figure(figsize=(7.0, 3.0 + 0.17 * len(lines)), layout="constrained")
    panels = figure.subplots(1, len(known), squeeze=False)[0]
    for axes, (metric, label) in zip(panels, known, strict=True):
        for colour, (_, rows) in zip(_COLOURS, lines, strict=False):
            _line(axes, [_curve(newest, row, metric) for row in rows], colour)
        axes.set(xlabel="interval", ylabel=label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    names = [f"{name} (n = {len(rows)})" for name, rows in lines]
    figure.legend(panels[0].lines, names, loc="outside lower center", frameon=False, fontsize=8)
    return figure


def _curve(newest: Mapping[tuple[int, int, int], dict[str, Any]], run: dict[str, Any], metric: str) -> dict[int, float]:
    """Value by step of one run."""
    mine = (row for (trial, repeat, _), row in newest.items() if (trial, repeat) == (run["trial"], run["repeat"]))
    return {row["step"]: row[metric] for row in mine if row[metric] is not None}


def _line(axes: Axes, curves_of_runs: list[dict[int, float]], colour: str) -> None:
    steps = sorted(set.intersection(*map(set, curves_of_runs)))
    values = np.array([[curve[step] for step in steps] for curve in curves_of_runs])
    mean = values.mean(0)
    axes.plot(steps, mean, color=colour, linewidth=1.3, marker="o" if len(steps) < 20 else "", markersize=3)
    if len(values) > 1:
        error = values.std(0, ddof=1) / np.sqrt(len(values))
        axes.fill_between(steps, mean - error, mean + error, color=colour, alpha=0.15, linewidth=0)
