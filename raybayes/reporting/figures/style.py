"""The style of all figures: colours for colour-blind readers, axes, scales, and file formats."""

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
WIDTH_IN = 7.0  # the width between the margins of A4: text is printed at its own size
_ENOUGH = 8  # the least number of values with outliers
MANY = 400  # an SVG holds more marks than this as a bitmap

_RC = {
    "font.family": "DejaVu Sans", "font.size": 9, "axes.titlesize": 10, "axes.labelsize": 9,
    "xtick.labelsize": 8, "ytick.labelsize": 8, "legend.fontsize": 8, "figure.facecolor": "white",
    "axes.grid": True, "grid.color": "#E6E6E6", "grid.linewidth": 0.6, "axes.axisbelow": True,
    "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": "#4D4D4D",
    "svg.fonttype": "path", "svg.hashsalt": "raybayes", "mathtext.default": "regular",
}  # fmt: skip


@contextmanager
def figure_style() -> Iterator[None]:
    """Apply the style of all figures inside the block, and restore matplotlib's settings after it."""
    with matplotlib.rc_context(_RC):
        yield


def new_figure(height_in: float = 3.6, width_in: float = WIDTH_IN) -> Figure:
    """An empty figure; sizes in inches."""
    return Figure(figsize=(width_in, height_in), layout="constrained")


def render_figure(figure: Figure, kind: Literal["png", "svg"]) -> bytes:
    """The bytes of a figure's file, equal for equal figures."""
    buffer = io.BytesIO()
    with figure_style():
        # Not `savefig`, which draws once more per file only to find the layout.
        if isinstance(figure.get_layout_engine(), ConstrainedLayoutEngine):
            figure.draw_without_rendering()
            figure.set_layout_engine("none")
        if kind == "svg":  # the resolution of the marks that it holds as a bitmap
            figure.dpi = 150
            FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None})
        else:
            figure.dpi = 200
            quick = {"compress_level": 3}  # half the time for a twentieth more bytes
            FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None}, pil_kwargs=quick)
    return buffer.getvalue()


def add_note(axes: Axes, text: str, line: int = 0) -> None:
    """Add a note below the axes, on the right."""
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
    """Whether a logarithmic axis suits these values: all positive, over a wide range."""
    finite = values[np.isfinite(values)]
    if not len(finite) or finite.min() <= 0:
        return False
    low, high = np.quantile(finite, [0.05, 0.95])
    return bool(high / low > ratio)


def objective_limits(values: Floats, objective: Objective, typical: Floats | None = None) -> tuple[float, float] | None:
    """Axis limits that show all good values and cut off bad outliers; None if nothing needs to be cut.

    A few diverged trials would otherwise flatten all the others.
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


def set_up_objective_axis(
    axes: Axes, values: Floats, objective: Objective, which: Literal["x", "y"] = "y", typical: Floats | None = None
) -> Floats:
    """Set up an axis for an objective: label, scale, limits, and a note with the number of values outside.

    Args:
        values: what is drawn.
        typical: the values that determine the limits, such as those of finished trials; all if these are few.

    Returns:
        The values, clipped to the limits.
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
        add_note(axes, f"{beyond} outside the {which} axis, drawn at its edge", line=0 if which == "y" else 1)
    clipped: Floats = np.clip(values, *limits)
    return clipped
