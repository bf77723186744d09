"""The figures: E f and LogGradVar over evaluations, the best tour on a map, the learnt graph beside its reference."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trainables.permutations.analysis.comparison import Array, Entry

# Okabe and Ito, "Color Universal Design" (2008); the second round of colours is dashed.
COLOURS = ("#000000", "#D55E00", "#0072B2", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#8C8C8C")
DASHES = ("-", "--", ":")


def curves(listed: Sequence[Entry]) -> Figure:
    """E f, and LogGradVar below it, over evaluations: means over runs, bands of one standard error."""
    figure = Figure(figsize=(7.5, 6.5), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    for i, entry in enumerate(listed):
        style: dict[str, Any] = {
            "color": COLOURS[i % len(COLOURS)],
            "linestyle": DASHES[i // len(COLOURS) % len(DASHES)],
        }
        _line(above, entry.evaluations, entry.curves["cost"], style, entry.label)
        if not entry.label.startswith("exact"):  # its gradient has no variance
            _line(below, entry.evaluations, entry.curves["log_grad_var"], style, entry.label)
    above.set(ylabel="E f")
    below.set(ylabel="LogGradVar", xlabel="evaluations of f, each run (exact: updates)", xscale="log")
    above.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, title="lowest last E f first")
    return figure


def _line(axes: Axes, x: Array, values: Array, style: dict[str, Any], label: str) -> None:
    mean = values.mean(0)
    axes.plot(x, mean, linewidth=1.2, label=label, **style)
    if len(values) > 1:
        error = values.std(0, ddof=1) / math.sqrt(len(values))
        axes.fill_between(x, mean - error, mean + error, color=style["color"], alpha=0.15, linewidth=0)


def tour(rows: Sequence[dict[str, Any]]) -> Figure:
    """The best tour of all runs, and an optimal one beside it if known."""
    names = list(dict.fromkeys(row["tour"] for row in rows))
    figure = Figure(figsize=(4.2 * len(names), 4.2), layout="constrained")
    for axes, name in zip(np.atleast_1d(figure.subplots(1, len(names))), names, strict=True):
        stops = sorted((row for row in rows if row["tour"] == name), key=lambda row: row["place"])
        x, y = ([row[axis] for row in [*stops, stops[0]]] for axis in ("x", "y"))
        axes.plot(x, y, color="#0072B2", linewidth=1.2, marker="o", markersize=3, markerfacecolor="#000000")
        axes.set(title=f"{name}, length {stops[0]['length']:.10g}", aspect="equal")
        axes.axis("off")
    return figure


def graphs(rows: Sequence[dict[str, Any]]) -> Figure:
    """The learnt graph beside the reference, or beside the edges' probabilities where there is no reference."""
    edges = {
        (row["source"], row["target"]): (row["found"], bool(row["true"])) for row in rows if row["found"] or row["true"]
    }
    names = sorted({name for edge in edges for name in edge}, key=lambda name: (len(name), name))
    turn = {name: 2 * math.pi * i / len(names) for i, name in enumerate(names)}
    spots = {name: (math.sin(angle), math.cos(angle)) for name, angle in turn.items()}
    figure = Figure(figsize=(10.0, 5.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    if all(row["true"] is None for row in rows):
        return _with_probabilities(figure, left, right, rows, spots)
    for edge, (found, true) in edges.items():
        turned = edges.get((edge[1], edge[0]), (False, False))
        if found:
            _arrow(left, spots, edge, "#009E73" if true else "#E69F00" if turned[1] else "#D55E00", "-")
        if true:
            _arrow(right, spots, edge, "#000000" if found else "#E69F00" if turned[0] else "#8C8C8C",
                   "-" if found or turned[0] else "--")  # fmt: skip
    left.set_title("found: correct (green), reversed (yellow), wrong (red)")
    right.set_title("reference: found (black), reversed (yellow), missed (grey)")
    _names(left, right, spots)
    return figure


def _with_probabilities(
    figure: Figure, left: Axes, right: Axes, rows: Sequence[dict[str, Any]], spots: dict[str, tuple[float, float]]
) -> Figure:
    for row in rows:
        edge, share = (row["source"], row["target"]), row["probability"]
        if row["found"]:
            _arrow(left, spots, edge, "#000000", "-" if row["class"] == "->" else "--")
        if share > 0 and {*edge} <= spots.keys():
            _arrow(right, spots, edge, str(round(1 - min(1.0, share), 3)), "-")
    left.set_title("found; dashed: the data do not determine the direction")
    right.set_title("share of the learnt distribution's orders with the edge: 0 white, 1 black")
    _names(left, right, spots)
    return figure


def _names(left: Axes, right: Axes, spots: dict[str, tuple[float, float]]) -> None:
    for axes in (left, right):
        for name, (x, y) in spots.items():
            axes.text(x, y, name, ha="center", va="center", fontsize=8,
                      bbox={"boxstyle": "round,pad=0.25", "fc": "white", "ec": "#8C8C8C"})  # fmt: skip
        axes.set(xlim=(-1.25, 1.25), ylim=(-1.2, 1.2), aspect="equal")
        axes.axis("off")


def _arrow(axes: Axes, spots: dict[str, tuple[float, float]], edge: tuple[str, str], colour: str, dashes: str) -> None:
    style = {"arrowstyle": "-|>", "color": colour, "linestyle": dashes, "shrinkA": 12, "shrinkB": 12, "linewidth": 1.2}
    axes.annotate("", xy=spots[edge[1]], xytext=spots[edge[0]], arrowprops=style)
