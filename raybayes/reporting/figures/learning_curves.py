"""The objective of each trial during its training."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from raybayes.reporting import ranking
from raybayes.reporting.figures import style
from raybayes.reporting.ranking import Floats
from raybayes.reporting.text import WORDS
from raybayes.search.objective import Objective


def draw_learning_curves(trials: pa.Table, reports: pa.Table, objective: Objective, fidelity: str) -> Figure | None:
    """Draw the objective of each trial during training; the best trial stands out, pruned ones are grey."""
    curves = _curves(reports, objective.name)
    if not curves:
        return None
    state = dict(zip(trials["trial"].to_pylist(), ranking.state_column(trials), strict=True))
    best = next(iter(ranking.best_trials(trials, [objective])), None)
    everything = np.concatenate([curve[:, 1] for _, curve in curves])
    groups: dict[str, list[Floats]] = {"pruned": [], "failed": [], "complete": [], "unfinished": [], "best": []}
    for trial, curve in curves:
        word = WORDS.get(state.get(trial, ""), "unfinished")
        groups["best" if trial == best else word if word in groups else "unfinished"].append(curve)
    with style.figure_style():
        figure = style.new_figure()
        axes = figure.add_subplot()
        style.set_up_objective_axis(axes, everything, objective)
        for name, members in groups.items():
            _draw_curves(axes, name, members, f"best: trial {best}" if name == "best" else name, len(curves))
        axes.autoscale_view(scaley=style.objective_limits(everything, objective) is None)
        axes.set_xlabel(fidelity)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_title(f"{objective.name} during training; {objective.better}")
        figure.legend(loc="outside lower center", ncols=5, frameon=False)
    return figure


def _curves(reports: pa.Table, metric: str) -> list[tuple[int, Floats]]:
    """(trial, (steps, 2) of step and finite value), one per trial and repeat."""
    value, trial, repeat, step = (ranking.float_column(reports, name) for name in (metric, "trial", "repeat", "step"))
    known = np.isfinite(value)
    order = np.flatnonzero(known)[np.lexsort((step[known], repeat[known], trial[known]))]
    if not len(order):
        return []
    starts = np.flatnonzero((np.diff(trial[order]) != 0) | (np.diff(repeat[order]) != 0)) + 1
    return [(int(trial[rows[0]]), np.stack([step[rows], value[rows]], axis=1)) for rows in np.split(order, starts)]


def _draw_curves(axes: Axes, name: str, curves: list[Floats], label: str, total: int) -> None:
    if not curves:
        return
    colour, width, alpha = {
        "pruned": (style.LIGHT, 0.8, 0.8), "failed": (style.ORANGE, 0.9, 0.9), "complete": (style.BLUE, 0.9, 0.45),
        "unfinished": (style.SKY, 1.0, 0.9), "best": (style.VERMILLION, 2.0, 1.0),
    }[name]  # fmt: skip
    many = total > style.MANY // 10
    if name == "complete":
        alpha = float(np.clip(40 / total, 0.15, alpha))
    lines = LineCollection(
        [curve for curve in curves if len(curve) > 1],
        colors=colour,
        linewidths=width,
        alpha=alpha,
        linestyles="--" if name == "failed" else "-",
        rasterized=many and name != "best",
    )
    axes.add_collection(lines)
    points = np.array([curve[0] for curve in curves if len(curve) == 1]).reshape(-1, 2)
    axes.scatter(points[:, 0], points[:, 1], s=10, color=colour, alpha=alpha, rasterized=many)
    axes.add_line(
        Line2D(
            [], [], color=colour, linewidth=max(width, 1.4), label=label, linestyle="--" if name == "failed" else "-"
        )
    )
