"""Two parameters against each other: contours of the objective, and the rank of each trial."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.tri import LinearTriInterpolator, Triangulation

from raybayes.reporting import ranking
from raybayes.reporting.figures import style
from raybayes.reporting.ranking import Floats
from raybayes.reporting.text import shorten, value_text
from raybayes.search.objective import Objective
from raybayes.space import Choice, Space

MOST = 3  # parameters, so three pairs
_FEWEST = 4  # trials with both parameters
_LEVELS, _GRID = 12, 100


def draw_contour(trials: pa.Table, space: Space, objective: Objective, names: Sequence[str]) -> Figure | None:
    """Draw the objective over pairs of parameters: contours between the finished trials, and the trials.

    Over a choice there is nothing between the trials: such a pair has the trials alone.

    Args:
        names: two parameters, or three for three pairs.
    """
    return _draw(trials, space, objective, names, "contour")


def draw_rank(trials: pa.Table, space: Space, objective: Objective, names: Sequence[str]) -> Figure | None:
    """Draw the finished trials over pairs of parameters, coloured by their rank: 0 for the best, 1 for the worst."""
    return _draw(trials, space, objective, names, "rank")


def _draw(
    trials: pa.Table, space: Space, objective: Objective, names: Sequence[str], kind: Literal["contour", "rank"]
) -> Figure | None:
    done = trials.filter(pa.array(ranking.finished_mask(trials, [objective])))
    value = ranking.float_column(done, objective.name)
    pairs = [pair for pair in itertools.combinations(names[:MOST], 2) if _shared(done, pair) >= _FEWEST]
    if not pairs:
        return None
    colour = _ranks(objective.sign * value) if kind == "rank" else value
    limits = (0.0, 1.0) if kind == "rank" else (style.objective_limits(value, objective) or (value.min(), value.max()))
    with style.figure_style():
        figure = style.new_figure(height_in=4.2 if len(pairs) == 1 else 2.9)
        panels = figure.subplots(1, len(pairs), squeeze=False)[0]
        for axes, pair in zip(panels, pairs, strict=True):
            points = _panel(axes, done, space, pair, np.clip(colour, *limits), limits, kind == "contour")
        label = "rank (0: best)" if kind == "rank" else objective.label
        figure.colorbar(points, ax=list(panels), label=label, pad=0.01, fraction=0.04, aspect=30)
        what = "rank of the trials" if kind == "rank" else objective.name
        figure.suptitle(f"{what} over pairs of parameters; {objective.name}: {objective.better}", fontsize=10)
    return figure


def _shared(done: pa.Table, pair: Sequence[str]) -> int:
    columns = [ranking.parameter_values(done, name) for name in pair]
    return sum(one is not None and other is not None for one, other in zip(*columns, strict=True))


def _ranks(loss: Floats) -> Floats:
    """0 for the best, 1 for the worst; equal values share the mean of their ranks."""
    below = (loss[None] < loss[:, None]).sum(axis=1) + 0.5 * ((loss[None] == loss[:, None]).sum(axis=1) - 1)
    return np.asarray(below / max(1, len(loss) - 1))


def _panel(
    axes: Axes, done: pa.Table, space: Space, pair: Sequence[str], colour: Floats, limits: tuple[float, float],
    contours: bool,
) -> Any:  # fmt: skip
    """One pair; returns the points, whose colours are those of the colour bar."""
    x, y = (
        set_up_declared_axis(axes, done, space, pair[0], "x"),
        set_up_declared_axis(axes, done, space, pair[1], "y"),
    )
    here = np.isfinite(x) & np.isfinite(y)
    look: dict[str, Any] = {"cmap": f"{style.SEQUENCE}_r", "vmin": limits[0], "vmax": max(limits[1], limits[0] + 1e-12)}
    if contours and not any(isinstance(space[name], Choice) for name in pair):
        _contours(axes, x[here], y[here], colour[here], [_is_log(space, name) for name in pair], look)
    return axes.scatter(
        x[here], y[here], c=colour[here], s=18, edgecolors="white", linewidths=0.4, zorder=3, clip_on=False,
        rasterized=len(x) > style.MANY, **look,
    )  # fmt: skip


def _contours(axes: Axes, x: Floats, y: Floats, colour: Floats, log: Sequence[bool], look: dict[str, Any]) -> None:
    """Filled contours, linear in triangles between the trials on the scales of the axes."""
    scaled = [np.log(v) if is_log else v for v, is_log in zip((x, y), log, strict=True)]
    unit = [(v - v.min()) / (np.ptp(v) or 1.0) for v in scaled]
    places, first = np.unique(np.stack(unit, axis=1).round(9), axis=0, return_index=True)
    if len(places) < _FEWEST or np.linalg.matrix_rank(places - places.mean(axis=0), tol=1e-6) < 2:
        return
    between = LinearTriInterpolator(Triangulation(places[:, 0], places[:, 1]), colour[first])
    ticks = np.linspace(0, 1, _GRID)
    levels = np.linspace(look["vmin"], look["vmax"], _LEVELS + 1)
    grids = [v.min() + ticks * np.ptp(v) for v in scaled]
    sides = [np.exp(grid) if is_log else grid for grid, is_log in zip(grids, log, strict=True)]
    axes.contourf(*sides, between(*np.meshgrid(ticks, ticks)), levels=levels, alpha=0.6, **look)


def _is_log(space: Space, name: str) -> bool:
    parameter = space[name]
    return not isinstance(parameter, Choice) and parameter.log


def set_up_declared_axis(axes: Axes, trials: pa.Table, space: Space, name: str, which: Literal["x", "y"]) -> Floats:
    """Set up an axis as the space declares it: logarithmic or not, all choices in their order.

    Returns:
        The position of each trial, (trials,), NaN where the parameter is inactive.
    """
    getattr(axes, f"set_{which}label")(name)
    parameter = space[name]
    if not isinstance(parameter, Choice):
        if parameter.log:
            getattr(axes, f"set_{which}scale")("log")
        return ranking.float_column(trials, ranking.CONFIG + name)
    texts = [value_text(value) for value in parameter.values]
    labels = [shorten(text, 12) for text in texts]
    getattr(axes, f"set_{which}ticks")(range(len(texts)), labels)
    getattr(axes, f"set_{which}lim")(-0.5, len(texts) - 0.5)
    number = ranking.float_column(trials, "trial")
    spread = 0.4 * ((number * (0.6180339887 if which == "x" else 0.7548776662)) % 1 - 0.5)
    found = [_text(space, name, value) for value in ranking.parameter_values(trials, name)]
    places = [np.nan if text is None else texts.index(text) for text in found]
    return np.array(places, dtype=np.float64) + spread


def _text(space: Space, name: str, value: Any) -> str | None:
    """The text of a choice as the table has it: choices of mixed types are texts there; None: it is inactive."""
    values = getattr(space[name], "values", ())
    if value is None:
        return None
    return next((value_text(each) for each in values if each == value or str(each) == str(value)), None)
