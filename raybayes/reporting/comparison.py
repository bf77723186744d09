"""Several sweeps side by side: the best value against trials and against hours of training, and a page."""

from __future__ import annotations

import base64
import importlib.resources
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

import pyarrow as pa
from matplotlib.figure import Figure

from raybayes.reporting.figures import style
from raybayes.reporting.tables.findings import render_findings
from raybayes.search.objective import Objective
from raybayes.search.outcomes.records import TrialRecord

_COLOURS = (style.BLUE, style.VERMILLION, style.GREEN, style.ORANGE, style.PURPLE, style.SKY, style.BLACK, style.GREY)
_LINES = ("-", "--", ":")


@dataclass(frozen=True)
class BestSoFar:
    """The best value after each finished trial, in the order in which they ended; None before the first.

    Args:
        best: after each finished trial, pruned and failed ones included.
        hours: of training until then, one trial after the other.
    """

    best: tuple[float | None, ...]
    hours: tuple[float, ...]

    @property
    def hours_to_best(self) -> float | None:
        """Hours of training until the last improvement."""
        if not self.best or self.best[-1] is None:
            return None
        return self.hours[self.best.index(self.best[-1])]


def best_so_far(records: Sequence[TrialRecord], objective: Objective) -> BestSoFar:
    """The curve of a sweep, from its trials."""
    ended = sorted((r for r in records if r.state.final), key=lambda record: (record.ended or 0.0, record.number))
    best: list[float | None] = []
    hours: list[float] = []
    for record in ended:
        before = best[-1] if best else None
        value = record.values[0] if record.values is not None and record.feasible else None
        better = value is not None and (before is None or objective.loss(value) < objective.loss(before))
        best.append(value if better else before)
        spent = record.notes.get("seconds", 0.0) + record.notes.get("earlier_seconds", 0.0)
        hours.append((hours[-1] if hours else 0.0) + spent / 3600)
    return BestSoFar(tuple(best), tuple(hours))


def draw_comparison(curves: Mapping[str, BestSoFar], objective: Objective) -> Figure:
    """Draw the best value against finished trials, and against hours of training."""
    with style.figure_style():
        figure = style.new_figure(height_in=3.4)
        left, right = figure.subplots(1, 2, sharey=True)
        for i, (name, curve) in enumerate(curves.items()):
            known = [place for place, value in enumerate(curve.best) if value is not None]
            values = [value for value in curve.best if value is not None]
            look = {"color": _COLOURS[i % len(_COLOURS)], "linestyle": _LINES[i // len(_COLOURS) % len(_LINES)]}
            left.step([place + 1 for place in known], values, where="post", label=name, **look)
            right.step([curve.hours[place] for place in known], values, where="post", **look)
        left.set(xlabel="finished trials", ylabel=objective.label)
        right.set(xlabel="hours of training")
        figure.suptitle(f"best {objective.name} so far; {objective.better}", fontsize=10)
        figure.legend(loc="outside lower center", ncols=4, frameon=False)
    return figure


def comparison_page(table: pa.Table, curves: Mapping[str, BestSoFar], objective: Objective) -> str:
    """The table and the figure as one page of HTML, which needs no network."""
    css = importlib.resources.files("raybayes.reporting.page").joinpath("page.css").read_text(encoding="utf-8")
    svg = base64.b64encode(style.render_figure(draw_comparison(curves, objective), "svg")).decode()
    title = f"{objective.name} of {len(curves)} sweeps"
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
        f"<style>\n{css}</style>\n</head>\n<body>\n<main>\n<h1>{escape(title)}</h1>\n{render_findings(table)}\n"
        f'<figure><img alt="{escape(title)}" src="data:image/svg+xml;base64,{svg}"></figure>\n'
        "</main>\n</body>\n</html>\n"
    )
