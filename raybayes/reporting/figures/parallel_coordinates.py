"""Parallel coordinates: each finished trial as one line through its parameters to its objective."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from raybayes.reporting import ranking
from raybayes.reporting.figures import style
from raybayes.reporting.ranking import Floats
from raybayes.reporting.text import shorten, value_text
from raybayes.search.objective import Objective
from raybayes.wording import number as in_short

MOST_AXES = 7
_INACTIVE = -0.14


def draw_parallel_coordinates(
    trials: pa.Table, objective: Objective, importances: Mapping[str, float] | None = None
) -> Figure | None:
    """Draw each finished trial as a line through its parameters to its objective; the best tenth stands out."""
    done = trials.filter(pa.array(ranking.finished_mask(trials, [objective])))
    names = ranking.drawable_parameters(done, objective, importances)[:MOST_AXES]
    if len(done) < 2 or not names:
        return None
    value = ranking.float_column(done, objective.name)
    limits = style.objective_limits(value, objective) or (value.min(), value.max())
    number = ranking.float_column(done, "trial")
    order = np.lexsort((-number, -objective.sign * value))  # the best last, on top; the earliest of equal ones
    with style.figure_style():
        figure = style.new_figure(height_in=3.9)
        axes = figure.add_subplot()
        heights = [_parameter_axis(axes, i, done, name) for i, name in enumerate(names)]
        heights.append(_number_axis(axes, len(names), np.clip(value, *limits), style.spans_decades(value)))
        points = np.stack(heights, axis=1)[order]
        lines = [np.stack([np.arange(points.shape[1]), line], axis=1) for line in points]
        n_good = min(max(3, round(0.1 * len(lines))), len(lines) - 1)
        _draw_lines(axes, lines[: -1 - n_good], style.GREY, 0.8, "other finished trials")
        _draw_lines(axes, lines[-1 - n_good : -1], style.BLUE, 1.1, f"the next best {n_good}")
        best = f"best: trial {number[order[-1]]:.0f}"
        axes.plot(*lines[-1].T, color=style.VERMILLION, linewidth=2.2, label=best, zorder=4)
        _finish(axes, [*(shorten(name, 15) for name in names), objective.label], bool((points < _INACTIVE / 2).any()))
        axes.set_title(f"parameters of {len(done)} finished trials; {objective.name}: {objective.better}")
        figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure


def _draw_lines(axes: Axes, lines: list[Floats], colour: str, width: float, label: str) -> None:
    if lines:
        many = len(lines) > style.MANY // 10
        alpha = float(np.clip(40 / len(lines), 0.12, 0.7))
        drawn = LineCollection(lines, colors=colour, linewidths=width, alpha=alpha, rasterized=many, zorder=3)
        axes.add_collection(drawn)
        axes.add_line(Line2D([], [], color=colour, linewidth=1.4, label=label))


def _parameter_axis(axes: Axes, at: int, trials: pa.Table, name: str) -> Floats:
    """Draw one vertical axis; returns the height of each trial on it, (trials,), below 0 where it is inactive."""
    if ranking.is_numeric(trials, name):
        x = ranking.float_column(trials, ranking.CONFIG + name)
        return _number_axis(axes, at, x, style.spans_decades(x))
    found = ranking.parameter_values(trials, name)
    names = sorted({value_text(value) for value in found if value is not None})
    place = {category: i / max(1, len(names) - 1) for i, category in enumerate(names)}
    for category, height in place.items():
        _tick(axes, at, height, shorten(category, 12))
    jitter = 0.03 * (((ranking.float_column(trials, "trial") * 0.6180339887) % 1) - 0.5)
    if None in found:
        _tick(axes, at, _INACTIVE, "–")
    return np.array([_INACTIVE if v is None else place[value_text(v)] for v in found], dtype=np.float64) + jitter


def _number_axis(axes: Axes, at: int, x: Floats, logarithmic: bool) -> Floats:
    active = np.isfinite(x)
    scaled = np.log(np.where(active, x, 1.0)) if logarithmic else np.where(active, x, 0.0)
    low, high = scaled[active].min(), scaled[active].max()
    width = high - low or 1.0
    for height in (0.0, 0.5, 1.0) if high > low else (0.0,):
        value = low + height * width
        _tick(axes, at, height, in_short(float(np.exp(value) if logarithmic else value), 3))
    if not active.all():
        _tick(axes, at, _INACTIVE, "–")
    return np.where(active, (scaled - low) / width, _INACTIVE)


def _tick(axes: Axes, at: float, height: float, text: str) -> None:
    axes.annotate(
        text,
        (at, height),
        xytext=(4, 0),
        textcoords="offset points",
        fontsize=7,
        va="center",
        zorder=6,
        bbox={"boxstyle": "round,pad=0.12", "facecolor": "white", "edgecolor": "none", "alpha": 0.8},
    )


def _finish(axes: Axes, labels: Sequence[str], inactive: bool) -> None:
    for at in range(len(labels)):
        axes.plot([at, at], [0, 1], color="#4D4D4D", linewidth=0.9, zorder=5)
    axes.set_xticks(range(len(labels)), labels, fontsize=7.5)
    axes.set_xlim(-0.3, len(labels) - 0.5)
    axes.set_ylim(_INACTIVE - 0.05 if inactive else -0.05, 1.05)
    axes.set_yticks([])
    axes.grid(False)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(length=0)
