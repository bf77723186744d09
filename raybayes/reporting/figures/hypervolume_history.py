"""The hypervolume of the Pareto front after each trial."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from raybayes.reporting import ranking
from raybayes.reporting.figures import style
from raybayes.reporting.ranking import Floats
from raybayes.search.objective import Objective
from raybayes.search.outcomes.pareto import hypervolume


def hypervolumes(trials: pa.Table, objectives: Sequence[Objective]) -> tuple[Floats, Floats]:
    """Numbers of the finished, feasible trials, and the hypervolume after each, as a share of that of all.

    The reference point is the worst value of each objective among them.
    """
    rows = np.flatnonzero(ranking.finished_mask(trials, objectives))
    number = ranking.float_column(trials, "trial")[rows]
    rows, number = rows[np.argsort(number)], np.sort(number)
    losses = ranking.loss_matrix(trials, objectives)[rows]
    worst = losses.max(axis=0) if len(losses) else np.zeros(len(objectives))
    found = np.array([hypervolume(losses[: i + 1], worst) for i in range(len(losses))])
    return number, found / found[-1] if len(found) and found[-1] > 0 else found


def draw_hypervolume(trials: pa.Table, objectives: Sequence[Objective]) -> Figure | None:
    """Draw the hypervolume after each trial; None for one objective, or if it is 0."""
    if len(objectives) < 2:
        return None
    number, share = hypervolumes(trials, objectives)
    if len(share) < 2 or share[-1] <= 0:
        return None
    with style.figure_style():
        figure = style.new_figure()
        axes = figure.add_subplot()
        axes.step(number, share, where="post", color=style.VERMILLION, linewidth=1.6)
        axes.set(xlabel="trial", ylabel="share of the final hypervolume", ylim=(0, 1.05))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_title(f"hypervolume of {', '.join(objective.name for objective in objectives)}; higher is better")
    return figure
