"""The figures that a page has only if they are asked for: contour, rank, distribution, hypervolume."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
from matplotlib.figure import Figure

from raybayes.errors import SpecError
from raybayes.reporting import ranking
from raybayes.reporting.figures.distribution import draw_distribution
from raybayes.reporting.figures.hypervolume_history import draw_hypervolume
from raybayes.reporting.figures.pairs import MOST, draw_contour, draw_rank
from raybayes.search.objective import Objective
from raybayes.space import Space
from raybayes.wording import unknown

CHOSEN = {
    "contour": "The objective over pairs of parameters; between the trials by triangles, which say nothing of choices.",
    "rank": "The trials over pairs of parameters, by rank: robust against outliers.",
    "distribution": "The share of finished trials that are at least as good as a value.",
    "hypervolume": "The hypervolume of the Pareto front after each trial, up to the worst value of each objective.",
}
_NEEDS = {
    "contour": "four finished trials that have both of two parameters",
    "rank": "four finished trials that have both of two parameters",
    "distribution": "two finished trials",
    "hypervolume": "several objectives, and a finished trial that is better than another in each",
}


def draw_chosen(
    name: str, trials: pa.Table, space: Space, objectives: Sequence[Objective], parameters: Sequence[str] = ()
) -> Figure:
    """Draw one of the `CHOSEN` figures.

    Args:
        parameters: for contour and rank: two, or three for three pairs; by default the three that matter most.

    Raises:
        SpecError: an unknown figure or parameter, or too little to draw it from.
    """
    if name not in CHOSEN:
        raise SpecError(unknown("figure", name, CHOSEN))
    for parameter in parameters:
        if parameter not in space:
            raise SpecError(unknown("parameter", parameter, space, owner="the space"))
    if parameters and (name not in ("contour", "rank") or not 2 <= len(set(parameters)) <= MOST):
        raise SpecError(f"{name}: found the parameters {', '.join(parameters)}; contour and rank take two or three.")
    names = list(parameters) or ranking.drawable_parameters(trials, objectives[0], None)[:MOST]
    if name in ("contour", "rank"):
        figure = (draw_contour if name == "contour" else draw_rank)(trials, space, objectives[0], names)
    elif name == "distribution":
        figure = draw_distribution(trials, objectives[0])
    else:
        figure = draw_hypervolume(trials, objectives)
    if figure is None:
        raise SpecError(f"figure {name} needs {_NEEDS[name]}.")
    return figure
