"""Curves of a sweep, and a heat map of costs."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import ScalarFormatter

from trainables.autoregressive.analysis.comparison import Line, mean_and_error

Array = npt.NDArray[np.float64]
# Okabe and Ito, "Color Universal Design" (2008); the second round of colours is dashed.
COLOURS = ("#000000", "#D55E00", "#0072B2", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#8C8C8C")
DASHES = ("-", "--", ":")
_SHOWN = 12  # lines per figure, the best ones
_LEAST = 1e-2  # %, so that every error fits the logarithmic axis
_COLUMNS = 40  # tokens per heat map, the cheapest ones


def curves(found: list[Line], axis: str) -> Figure:
    """Test error, or validation error if test was scored only at the end, against iterations or seconds."""
    figure = Figure(figsize=(8.0, 4.2), layout="constrained")
    axes = figure.subplots()
    metric = "test_error" if all(_everywhere(line, "test_error") for line in found) else "val_error"
    for i, line in enumerate(found[:_SHOWN]):
        style: dict[str, Any] = {
            "color": COLOURS[i % len(COLOURS)],
            "linestyle": DASHES[i // len(COLOURS) % len(DASHES)],
        }
        x, mean, error = _curve(line, axis, metric)
        axes.plot(x, mean, label=f"{line.name} (n = {len(line.runs)})", linewidth=1.3, marker=".", **style)
        axes.fill_between(x, mean - error, mean + error, color=style["color"], alpha=0.15, linewidth=0)
    what = "test" if metric == "test_error" else "validation"
    axes.set(xlabel="processor time of training (s)" if axis == "seconds" else "iterations", ylabel=f"{what} error (%)")
    axes.set_yscale("log")
    for ticks in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        ticks(ScalarFormatter())
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=8)
    return figure


def _everywhere(line: Line, metric: str) -> bool:
    return all(report.get(metric) is not None for run in line.runs for report in run.reports)


def _curve(line: Line, axis: str, metric: str) -> tuple[Array, Array, Array]:
    """x, mean and standard error at each report that all runs of a row have; the error of a single run is 0."""
    points = []
    for number in range(min(len(run.reports) for run in line.runs)):
        reports = [run.reports[number] for run in line.runs]
        spent = [run.seconds[number] for run in line.runs]
        x = [report["iteration"] for report in reports] if axis == "iteration" else spent
        mean, error = mean_and_error(report[metric] for report in reports)
        points.append((float(np.mean(x)), mean, error or 0.0))
    table = np.array(points, np.float64)
    return table[:, 0], np.maximum(table[:, 1], _LEAST), table[:, 2]


def heat(costs: pa.Table) -> Figure:
    """One panel per sentence: cells down, tokens across, the target framed.

    Args:
        costs: sentence, time, truth, token, cost, and per sentence decoded and target.
    """
    rows = costs.to_pylist()
    sentences = sorted({row["sentence"] for row in rows})
    panels = [[row for row in rows if row["sentence"] == sentence] for sentence in sentences]
    heights = [len({row["time"] for row in panel}) for panel in panels]
    figure = Figure(figsize=(8.0, 1.0 + 0.26 * sum(heights) + 0.2 * len(panels)), layout="constrained")
    axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    largest = max(row["cost"] for row in rows)
    images = [_panel(ax, panel, largest) for ax, panel in zip(axes, panels, strict=True)]
    figure.colorbar(images[-1], ax=list(axes), label="cost of the finished sequence", shrink=0.8)
    return figure


def _cut(text: str) -> str:
    return text if len(text) <= 45 else f"{text[:44]}…"


def _panel(ax: Axes, panel: list[dict[str, Any]], largest: float) -> AxesImage:
    """One sentence; the image, for the colour bar."""
    times = sorted({row["time"] for row in panel})
    truth = {row["time"]: row["truth"] for row in panel}
    cheapest: dict[str, float] = {}
    for row in panel:
        cheapest[row["token"]] = min(row["cost"], cheapest.get(row["token"], np.inf))
    tokens = sorted(cheapest)
    if len(tokens) > _COLUMNS:
        tokens = sorted(sorted(cheapest, key=lambda token: (token not in truth.values(), cheapest[token]))[:_COLUMNS])
    column = {token: i for i, token in enumerate(tokens)}
    grid = np.full((len(times), len(tokens)), np.nan)
    for row in panel:
        if row["token"] in column:
            grid[row["time"], column[row["token"]]] = row["cost"]
    image = ax.imshow(grid, aspect="auto", cmap="viridis_r", vmin=0, vmax=largest)
    for time in times:
        if truth[time] in column:
            ax.text(column[truth[time]], time, "□", ha="center", va="center", color="#D55E00", fontsize=9)
    ax.set_xticks(range(len(tokens)), tokens, fontsize=7, rotation=90 if max(map(len, tokens)) > 2 else 0)
    ax.set_yticks(times, [f"{time}  {truth[time]}" for time in times], fontsize=7)
    ax.set_ylabel("cell, target", fontsize=8)
    ax.grid(visible=False)
    if "decoded" in panel[0]:  # tables of earlier versions lack it
        decoded, target = (_cut(panel[0][side]) for side in ("decoded", "target"))
        ax.set_title(f"decoded: {decoded}     target: {target}", fontsize=8, loc="left")
    return image
