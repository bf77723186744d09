"""The empirical distribution of the objective over the finished trials."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure

from raybayes.reporting import ranking
from raybayes.reporting.figures import style
from raybayes.reporting.ranking import Floats
from raybayes.search.objective import Objective


def empirical_distribution(trials: pa.Table, objective: Objective) -> tuple[Floats, Floats]:
    """The values of the finished trials, best first, and the share of trials that are at least as good."""
    value = ranking.float_column(trials, objective.name)[ranking.finished_mask(trials, [objective])]
    ordered = value[np.argsort(objective.sign * value, kind="stable")]
    return ordered, np.arange(1, len(ordered) + 1) / max(1, len(ordered))


def draw_distribution(trials: pa.Table, objective: Objective) -> Figure | None:
    """Draw the share of finished trials that are at least as good as a value."""
    value, share = empirical_distribution(trials, objective)
    if len(value) < 2:
        return None
    with style.figure_style():
        figure = style.new_figure()
        axes = figure.add_subplot()
        shown = style.set_up_objective_axis(axes, value, objective, "x")
        axes.step(shown, share, where="post" if objective.sign > 0 else "pre", color=style.BLUE, linewidth=1.6)
        axes.set(ylim=(0, 1.02), ylabel="share of trials at least as good")
        axes.set_title(f"distribution of {objective.name} over {len(value)} finished trials; {objective.better}")
    return figure
