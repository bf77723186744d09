"""How much each parameter matters for an objective, with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from raybayes.reporting.figures import style
from raybayes.reporting.text import shorten
from raybayes.search.objective import Objective

MOST_BARS = 20
LEAST = 0.005  # a share that rounds to 0.00 is not drawn


def draw_importances(
    importances: Mapping[str, float], objective: Objective, intervals: Mapping[str, tuple[float, float]] | None = None
) -> Figure | None:
    """Draw the importance of each parameter with its bootstrap interval."""
    known = intervals or {}
    if not importances:
        return None
    order = [name for name in importances if max(importances[name], *known.get(name, (0.0,))) >= LEAST]
    order = sorted(order or importances, key=lambda name: importances[name])[-MOST_BARS:]
    share = np.array([importances[name] for name in order])
    low, high = np.array([known.get(name, (importances[name],) * 2) for name in order]).T
    with style.figure_style():
        figure = style.new_figure(height_in=0.9 + 0.26 * len(order))
        axes = figure.add_subplot()
        labels = [shorten(name, 28) for name in order]
        axes.barh(range(len(order)), share, color=style.SKY, height=0.65, tick_label=labels)
        if known:
            span = [np.maximum(share - low, 0), np.maximum(high - share, 0)]
            places = np.arange(len(order))
            axes.errorbar(share, places, xerr=span, fmt="none", ecolor=style.BLACK, elinewidth=1.0, capsize=2.5)
        for at, (value, end) in enumerate(zip(share, np.maximum(share, high), strict=True)):
            axes.annotate(f"{value:.2f}", (end, at), xytext=(5, 0), textcoords="offset points", va="center", fontsize=8)
        axes.set_xlim(0, max(float(np.maximum(share, high).max()) * 1.12, 1e-3))
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel("importance (share, no unit)")
        left_out = f"; {len(importances) - len(order)} smaller ones not drawn" if len(importances) > len(order) else ""
        axes.set_title(f"what {objective.name} depends on{left_out}")
    return figure
