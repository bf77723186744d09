"""The objective of each trial, in the order of the trials, and the best so far."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from raybayes.reporting import ranking
from raybayes.reporting.figures import style
from raybayes.reporting.figures.seed_spread import seed_deviation, seed_values
from raybayes.reporting.ranking import Floats
from raybayes.reporting.text import WORDS
from raybayes.search.objective import Objective
from raybayes.wording import number as in_short


def draw_history(trials: pa.Table, objective: Objective, reports: pa.Table | None = None) -> Figure | None:
    """Draw the objective of each trial, in the order of the trials, and the best so far.

    Args:
        reports: for the values of single seeds, if configurations are repeated.
    """
    number, value = ranking.float_column(trials, "trial"), ranking.float_column(trials, objective.name)
    state = ranking.state_column(trials)
    if not np.isfinite(value).any():
        return None
    with style.figure_style():
        figure = style.new_figure()
        axes = figure.add_subplot()
        shown = style.set_up_objective_axis(
            axes, value, objective, typical=value[ranking.finished_mask(trials, [objective])]
        )
        for name, marker in (("COMPLETE", "o"), ("PRUNED", "x"), ("RUNNING", "^"), ("PAUSED", "s")):
            here = (state == name) & np.isfinite(value)
            if here.any():
                colour = style.GREY if name == "PRUNED" else style.STATE_COLOURS[name]
                axes.scatter(
                    number[here],
                    shown[here],
                    s=16,
                    marker=marker,
                    color=colour,
                    linewidths=0.9,
                    zorder=3,
                    label=WORDS[name],
                    clip_on=False,
                    rasterized=len(number) > style.MANY,
                )
        deviation = _seeds(axes, trials, reports, objective)
        _repeat_errors(axes, trials, objective, number, shown)
        _failed_at_the_edge(axes, number[state == "FAIL"])
        _best_so_far(axes, trials, objective, number, value)
        axes.set_xlabel("trial")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_title(f"{objective.name} of each trial; {objective.better}{deviation}")
        figure.legend(loc="outside lower center", ncols=8, frameon=False, columnspacing=1.2)
    return figure


def _seeds(axes: Axes, trials: pa.Table, reports: pa.Table | None, objective: Objective) -> str:
    """Draw small dots for single seeds; returns a note with their spread for the title."""
    runs = np.empty((0, 2)) if reports is None else seed_values(trials, reports, objective)
    if not len(runs):
        return ""
    low, high = (-np.inf, np.inf) if axes.get_autoscaley_on() else axes.get_ylim()
    axes.scatter(
        runs[:, 0],
        np.clip(runs[:, 1], low, high),
        s=5,
        color=style.BLACK,
        linewidths=0,
        zorder=4,
        label="one seed",
        clip_on=False,
        rasterized=len(runs) > style.MANY,
    )
    return f"; seeds differ by ± {in_short(seed_deviation(runs), 2)}"


def _repeat_errors(axes: Axes, trials: pa.Table, objective: Objective, number: Floats, shown: Floats) -> None:
    error = ranking.float_column(trials, f"{objective.name}.se")
    known = np.isfinite(error) & np.isfinite(shown)
    if known.any():
        axes.errorbar(
            number[known],
            shown[known],
            yerr=error[known],
            fmt="none",
            ecolor=style.BLUE,
            elinewidth=0.8,
            alpha=0.6,
            label="± standard error",
        )


def _failed_at_the_edge(axes: Axes, number: Floats) -> None:
    if len(number):
        axes.scatter(
            number,
            np.full(len(number), 0.015),
            transform=axes.get_xaxis_transform(),
            marker="|",
            s=40,
            color=style.STATE_COLOURS["FAIL"],
            label="failed",
            zorder=4,
        )


def _best_so_far(axes: Axes, trials: pa.Table, objective: Objective, number: Floats, value: Floats) -> None:
    rows = np.flatnonzero(ranking.finished_mask(trials, [objective]))
    if not len(rows):
        return
    rows = rows[np.argsort(number[rows])]
    running_best = objective.sign * np.minimum.accumulate(objective.sign * value[rows])
    x = np.append(number[rows], number.max())
    axes.step(
        x,
        np.append(running_best, running_best[-1]),
        where="post",
        color=style.VERMILLION,
        linewidth=1.6,
        label="best so far",
    )
    winner = rows[np.argmin(objective.sign * value[rows])]
    axes.scatter(
        number[winner],
        value[winner],
        marker="*",
        s=110,
        color=style.VERMILLION,
        edgecolors="white",
        linewidths=0.6,
        zorder=5,
        label=f"best: trial {number[winner]:.0f}",
    )
