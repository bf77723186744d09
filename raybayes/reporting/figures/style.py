"""How every figure looks: colours that colour-blind readers can tell apart, axes, scales, and how they are saved."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from raybayes.reporting.ranking import Floats
from raybayes.search.objective import Objective

# Okabe and Ito, "Color Universal Design" (2008).
BLUE, VERMILLION, GREEN, ORANGE = "#0072B2", "#D55E00", "#009E73", "#E69F00"
PURPLE, SKY, BLACK, GREY, LIGHT = "#CC79A7", "#56B4E9", "#000000", "#8C8C8C", "#D0D0D0"
STATE_COLOURS = {
    "COMPLETE": BLUE,
    "PRUNED": LIGHT,
    "FAIL": ORANGE,
    "RUNNING": SKY,
    "PAUSED": PURPLE,
}  # fmt: skip; vermillion is for the best
SEQUENCE = "viridis"
WIDTH_IN = 7.0  # fits A4 between margins, so that text prints at the size it is drawn
_ENOUGH = 8  # values from which on one can tell an outlier
MANY = 400  # marks from which on an SVG holds them as a picture

_RC = {
    "font.family": "DejaVu Sans", "font.size": 9, "axes.titlesize": 10, "axes.labelsize": 9,
    "xtick.labelsize": 8, "ytick.labelsize": 8, "legend.fontsize": 8, "figure.facecolor": "white",
    "axes.grid": True, "grid.color": "#E6E6E6", "grid.linewidth": 0.6, "axes.axisbelow": True,
    "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": "#4D4D4D",
    "svg.fonttype": "path", "svg.hashsalt": "raybayes", "mathtext.default": "regular",
}  # fmt: skip


@contextmanager
def drawing() -> Iterator[None]:
    """The style of all figures, in force inside the block; matplotlib's own settings are left as they were."""
    with matplotlib.rc_context(_RC):
        yield


def new_figure(height_in: float = 3.6, width_in: float = WIDTH_IN) -> Figure:
    """An empty figure; sizes in inches."""
    return Figure(figsize=(width_in, height_in), layout="constrained")


def rendered(figure: Figure, kind: Literal["png", "svg"]) -> bytes:
    """The figure as a file. The same figure gives the same bytes."""
    buffer = io.BytesIO()
    with drawing():
        # Not `savefig`: before each file it draws once for the layout alone, which is found by the first drawing.
        if isinstance(figure.get_layout_engine(), ConstrainedLayoutEngine):
            figure.draw_without_rendering()
            figure.set_layout_engine("none")
        if kind == "svg":  # the resolution is that of the marks that it holds as a picture
            figure.dpi = 150
            FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None})
        else:
            figure.dpi = 200
            quick = {"compress_level": 3}  # half the time for a twentieth more bytes
            FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None}, pil_kwargs=quick)
    return buffer.getvalue()


def note(axes: Axes, text: str, line: int = 0) -> None:
    """A remark below the axes, at the right."""
    axes.annotate(
        text,
        (1.0, 0.0),
        xycoords="axes fraction",
        xytext=(0, -30 - 9 * line),
        textcoords="offset points",
        ha="right",
        va="top",
        fontsize=7,
        color="#4D4D4D",
        annotation_clip=False,
    )


def spans_decades(values: Floats, ratio: float = 50.0) -> bool:
    """Whether a logarithmic axis shows these values better: all positive, and over a wide range."""
    finite = values[np.isfinite(values)]
    if not len(finite) or finite.min() <= 0:
        return False
    low, high = np.quantile(finite, [0.05, 0.95])
    return bool(high / low > ratio)


def objective_limits(values: Floats, objective: Objective, typical: Floats | None = None) -> tuple[float, float] | None:
    """Limits of an axis that keep the good side whole and cut off outliers on the bad one.

    A few diverged trials would otherwise flatten everything that matters. Returns None where nothing needs cutting.
    """
    finite = values[np.isfinite(values)]
    if len(finite) < _ENOUGH:
        return None
    logarithmic = spans_decades(finite)
    scaled = objective.sign * (np.log(finite) if logarithmic else finite)
    judged = scaled
    if typical is not None and np.isfinite(typical).sum() >= _ENOUGH:
        chosen = typical[np.isfinite(typical)]
        judged = objective.sign * (np.log(chosen) if logarithmic else chosen)
    low = scaled.min()
    middle, high = np.quantile(judged, [0.5, 0.9])
    worst = high + 1.5 * max(high - middle, middle - low)
    if scaled.max() <= worst or worst == low:
        return None
    margin = 0.05 * (worst - low)
    ends = objective.sign * np.array([low - margin, worst])
    bottom, top = np.sort(np.exp(ends) if logarithmic else ends)
    return float(bottom), float(top)


def objective_axis(
    axes: Axes, values: Floats, objective: Objective, which: Literal["x", "y"] = "y", typical: Floats | None = None
) -> Floats:
    """Set up an axis for an objective: label, scale, limits, and a note that says how many values lie outside.

    Args:
        values: what is drawn.
        typical: the values that the limits must suit (finished trials, say); all of them if there are too few.

    Returns:
        The values, those beyond the limits moved onto the edge.
    """
    set_label, set_scale, set_limits = (getattr(axes, f"set_{which}{what}") for what in ("label", "scale", "lim"))
    set_label(objective.label)
    if spans_decades(values):
        set_scale("log")
    limits = objective_limits(values, objective, typical)
    if limits is None:
        return values
    set_limits(*limits)
    with np.errstate(invalid="ignore"):
        beyond = int(((values < limits[0]) | (values > limits[1])).sum())
    if beyond:
        note(axes, f"{beyond} outside the {which} axis, drawn at its edge", line=0 if which == "y" else 1)
    clipped: Floats = np.clip(values, *limits)
    return clipped
