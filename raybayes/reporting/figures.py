"""Figures of a sweep: data in, a matplotlib figure out, None where there is nothing to draw."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from raybayes.reporting import ranking, style
from raybayes.reporting.ranking import Floats
from raybayes.reporting.uncertainty import seed_deviation, seed_values
from raybayes.reporting.wording import WORDS, shortened, value_text
from raybayes.search.objective import Objective
from raybayes.wording import number as in_short

MOST_SLICES = 12
_COLUMNS = 4


def history(trials: pa.Table, objective: Objective, reports: pa.Table | None = None) -> Figure | None:
    """Every trial's objective in the order of the trials, and the best so far.

    Args:
        reports: where configurations were repeated, each seed's own value is taken from here.
    """
    number, value = ranking.numbers(trials, "trial"), ranking.numbers(trials, objective.name)
    state = ranking.states(trials)
    if not np.isfinite(value).any():
        return None
    with style.drawing():
        figure = style.new_figure()
        axes = figure.add_subplot()
        shown = style.objective_axis(axes, value, objective, typical=value[ranking.finished(trials, [objective])])
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
    """Small dots for single seeds; what to say of how far they differ."""
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
    error = ranking.numbers(trials, f"{objective.name}.se")
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
    rows = np.flatnonzero(ranking.finished(trials, [objective]))
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


def learning_curves(trials: pa.Table, reports: pa.Table, objective: Objective, fidelity: str) -> Figure | None:
    """The objective over each trial's training: the best one stands out, pruned ones stay grey."""
    curves = _curves(reports, objective.name)
    if not curves:
        return None
    state = dict(zip(trials["trial"].to_pylist(), ranking.states(trials), strict=True))
    best = next(iter(ranking.best(trials, [objective])), None)
    everything = np.concatenate([curve[:, 1] for _, curve in curves])
    groups: dict[str, list[Floats]] = {"pruned": [], "failed": [], "complete": [], "unfinished": [], "best": []}
    for trial, curve in curves:
        word = WORDS.get(state.get(trial, ""), "unfinished")
        groups["best" if trial == best else word if word in groups else "unfinished"].append(curve)
    with style.drawing():
        figure = style.new_figure()
        axes = figure.add_subplot()
        style.objective_axis(axes, everything, objective)
        for name, members in groups.items():
            _draw_curves(axes, name, members, f"best: trial {best}" if name == "best" else name, len(curves))
        axes.autoscale_view(scaley=style.objective_limits(everything, objective) is None)
        axes.set_xlabel(fidelity)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_title(f"{objective.name} during training; {objective.better}")
        figure.legend(loc="outside lower center", ncols=5, frameon=False)
    return figure


def _curves(reports: pa.Table, metric: str) -> list[tuple[int, Floats]]:
    """(trial, (steps, 2) of step and finite value), one a trial and repeat."""
    value, trial, repeat, step = (ranking.numbers(reports, name) for name in (metric, "trial", "repeat", "step"))
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


def slices(trials: pa.Table, objective: Objective, importances: Mapping[str, float] | None = None) -> Figure | None:
    """The objective over each parameter that varies, those that tell most first; later trials are brighter."""
    value = ranking.numbers(trials, objective.name)
    rows = np.flatnonzero(np.isfinite(value))
    varying = ranking.telling(trials, objective, importances)
    shown_names = ranking.drawable(trials, objective, importances)[:MOST_SLICES]
    if not len(rows) or not shown_names:
        return None
    with style.drawing():
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
    number, state = ranking.numbers(trials, "trial"), ranking.states(trials)
    x = parameter_positions(axes, trials, name)
    limits = style.objective_limits(value[rows], objective, value[ranking.finished(trials, [objective])])
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


def parameter_positions(axes: Axes, trials: pa.Table, name: str) -> Floats:
    """Where each trial's value of a parameter lies on the x axis, (trials,), NaN where it is inactive; sets it up.

    Categories lie at 0, 1, ..., spread a little by the trial's number so that equal ones do not hide each other.
    """
    if ranking.is_numeric(trials, name):
        x = ranking.numbers(trials, ranking.CONFIG + name)
        if style.spans_decades(x):
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(numticks=5))
            axes.xaxis.set_minor_formatter(NullFormatter())  # labels would touch
        else:
            whole = bool((x[np.isfinite(x)] % 1 == 0).all())
            axes.xaxis.set_major_locator(MaxNLocator(3, integer=whole))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: in_short(value, 3)))
        return x
    found = ranking.values(trials, name)
    names = sorted({value_text(value) for value in found if value is not None})
    number = ranking.numbers(trials, "trial")
    spread = 0.5 * ((number * 0.6180339887) % 1 - 0.5)
    at = {category: i for i, category in enumerate(names)}
    labels = [shortened(category, 12) for category in names]
    crowded = sum(map(len, labels)) > 18
    axes.set_xticks(range(len(names)), labels, rotation=90 if crowded else 0, fontsize=7 if crowded else None)
    axes.set_xlim(-0.5, len(names) - 0.5)
    return np.array([np.nan if v is None else at[value_text(v)] for v in found], dtype=np.float64) + spread
