"""The objective over each parameter, one panel per parameter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from raybayes.reporting import ranking
from raybayes.reporting.figures import style
from raybayes.reporting.ranking import Floats
from raybayes.reporting.text import shorten, value_text
from raybayes.search.objective import Objective
from raybayes.wording import number as in_short

MOST_SLICES = 12
_COLUMNS = 4


def draw_slices(
    trials: pa.Table, objective: Objective, importances: Mapping[str, float] | None = None
) -> Figure | None:
    """Draw the objective over each parameter that varies, the most important first; later trials are brighter."""
    value = ranking.float_column(trials, objective.name)
    rows = np.flatnonzero(np.isfinite(value))
    varying = ranking.rank_parameters(trials, objective, importances)
    shown_names = ranking.drawable_parameters(trials, objective, importances)[:MOST_SLICES]
    if not len(rows) or not shown_names:
        return None
    with style.figure_style():
        n_rows = -(-len(shown_names) // _COLUMNS)
        figure = style.new_figure(height_in=2.1 * n_rows + 0.7)
        panels = figure.subplots(n_rows, _COLUMNS, squeeze=False, sharey=True)
        for axes, name in zip(panels.flat, shown_names, strict=False):
            _slice(axes, trials, name, value, rows, objective)
        for axes in panels.flat[len(shown_names) :]:
            axes.set_axis_off()
        for axes in panels[:, 0]:
            axes.set_ylabel(objective.label)
        left_out = len(varying) - len(shown_names)
        more = f"; {left_out} more parameters not drawn" if left_out else ""
        figure.suptitle(f"{objective.name} over each parameter; {objective.better}{more}", fontsize=10)
        figure.colorbar(
            panels.flat[0].collections[-1],
            ax=list(panels.flat),
            label="trial (grey: pruned)",
            pad=0.01,
            fraction=0.025,
            aspect=40,
            ticks=MaxNLocator(6, integer=True),
        )
    return figure


def _slice(axes: Axes, trials: pa.Table, name: str, value: Floats, rows: Any, objective: Objective) -> None:
    number, state = ranking.float_column(trials, "trial"), ranking.state_column(trials)
    x = set_up_parameter_axis(axes, trials, name)
    limits = style.objective_limits(value[rows], objective, value[ranking.finished_mask(trials, [objective])])
    if style.spans_decades(value[rows]):
        axes.set_yscale("log")
    y = value if limits is None else np.clip(value, *limits)
    if limits is not None:
        axes.set_ylim(*limits)
    active = rows[np.isfinite(x[rows])]
    pruned = active[state[active] == "PRUNED"]
    others = active[state[active] != "PRUNED"]
    many = len(rows) > style.MANY // 4
    axes.scatter(
        x[pruned], y[pruned], s=9, marker="x", color=style.LIGHT, linewidths=0.8, clip_on=False, rasterized=many
    )
    axes.scatter(
        x[others],
        y[others],
        s=13,
        c=number[others],
        cmap=style.SEQUENCE,
        vmin=number.min(),
        clip_on=False,
        vmax=max(number.max(), number.min() + 1),
        alpha=0.85,
        linewidths=0,
        rasterized=many,
    )
    axes.set_xlabel(name)


def set_up_parameter_axis(axes: Axes, trials: pa.Table, name: str) -> Floats:
    """Set up the x axis for a parameter; returns the position of each trial, (trials,), NaN where it is inactive.

    Categories are at 0, 1, ..., with a small offset by trial number so that equal ones do not hide each other.
    """
    if ranking.is_numeric(trials, name):
        x = ranking.float_column(trials, ranking.CONFIG + name)
        if style.spans_decades(x):
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(numticks=5))
            axes.xaxis.set_minor_formatter(NullFormatter())  # labels would overlap
        else:
            whole = bool((x[np.isfinite(x)] % 1 == 0).all())
            axes.xaxis.set_major_locator(MaxNLocator(3, integer=whole))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: in_short(value, 3)))
        return x
    found = ranking.parameter_values(trials, name)
    names = sorted({value_text(value) for value in found if value is not None})
    number = ranking.float_column(trials, "trial")
    spread = 0.5 * ((number * 0.6180339887) % 1 - 0.5)
    at = {category: i for i, category in enumerate(names)}
    labels = [shorten(category, 12) for category in names]
    crowded = sum(map(len, labels)) > 18
    axes.set_xticks(range(len(names)), labels, rotation=90 if crowded else 0, fontsize=7 if crowded else None)
    axes.set_xlim(-0.5, len(names) - 0.5)
    return np.array([np.nan if v is None else at[value_text(v)] for v in found], dtype=np.float64) + spread
