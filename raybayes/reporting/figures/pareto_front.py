"""Several objectives against each other, with the Pareto front."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Literal

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from raybayes.reporting import ranking
from raybayes.reporting.figures import style
from raybayes.reporting.ranking import Floats
from raybayes.search.objective import Objective

MOST_PAIRS = 3
_LABELLED = 8


def draw_pareto_front(trials: pa.Table, objectives: Sequence[Objective]) -> Figure | None:
    """Draw two objectives against each other, with the Pareto front as a line; of more, the first three pairs."""
    done = ranking.finished_mask(trials, objectives)
    if len(objectives) < 2 or not done.any():
        return None
    pairs = list(itertools.combinations(objectives, 2))[:MOST_PAIRS]
    front = ranking.best_trials(trials, objectives)
    with style.figure_style():
        figure = style.new_figure(height_in=4.2 if len(pairs) == 1 else 3.0)
        for axes, pair in zip(figure.subplots(1, len(pairs), squeeze=False)[0], pairs, strict=True):
            _front(axes, trials.filter(pa.array(done)), pair, front, joined=len(objectives) == 2)
        handles, labels = axes.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
        figure.suptitle("; ".join(f"{o.name}: {o.better}" for o in objectives), fontsize=10)
    return figure


def _front(axes: Axes, done: pa.Table, pair: tuple[Objective, Objective], front: list[int], joined: bool) -> None:
    x, y = (ranking.float_column(done, objective.name) for objective in pair)
    shown = [style.set_up_objective_axis(axes, x, pair[0], "x"), style.set_up_objective_axis(axes, y, pair[1], "y")]
    trial = ranking.float_column(done, "trial")
    best = np.isin(trial, front)
    errors = [ranking.float_column(done, f"{objective.name}.se") for objective in pair]
    axes.scatter(
        shown[0][~best],
        shown[1][~best],
        s=14,
        color=style.GREY,
        alpha=0.7,
        label="dominated",
        clip_on=False,
        rasterized=len(trial) > style.MANY,
    )
    known = [np.where(np.isfinite(error), error, 0.0)[best] for error in errors]
    if any(error.any() for error in known):
        axes.errorbar(
            x[best],
            y[best],
            xerr=known[0],
            yerr=known[1],
            fmt="none",
            ecolor=style.BLUE,
            elinewidth=0.8,
            label="± standard error",
        )
    order = np.flatnonzero(best)[np.argsort(x[best])]
    if joined:  # the reachable region: constant up to the next point, on the worse side
        where: Literal["post", "pre"] = "post" if pair[0].direction == "minimize" else "pre"
        axes.step(x[order], y[order], where=where, color=style.VERMILLION, linewidth=1.2)
    axes.scatter(
        x[best],
        y[best],
        s=36,
        color=style.VERMILLION,
        edgecolors="white",
        linewidths=0.6,
        zorder=4,
        label="Pareto front",
    )
    _label_trials(axes, trial[order], x[order], y[order], pair)


def _label_trials(axes: Axes, trial: Floats, x: Floats, y: Floats, pair: tuple[Objective, Objective]) -> None:
    """Write the numbers of some trials of the front at their points."""
    every = max(1, -(-len(trial) // _LABELLED))
    right, up = (objective.direction == "maximize" for objective in pair)  # the better side, which is empty
    axes.margins(0.08)
    for row in range(0, len(trial), every):
        axes.annotate(
            f"{trial[row]:.0f}",
            (x[row], y[row]),
            xytext=(5 if right else -5, 5 if up else -5),
            textcoords="offset points",
            ha="left" if right else "right",
            va="bottom" if up else "top",
            fontsize=7,
            zorder=6,
        )
