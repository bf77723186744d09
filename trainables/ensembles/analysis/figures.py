"""The figures of a sweep: CLL and DEE over the ensemble size, DEE over training cost, reliability."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, ScalarFormatter

from trainables.ensembles.analysis.comparison import Entry, mean_and_error
from trainables.ensembles.metrics.average import RunningAverage
from trainables.ensembles.metrics.reference import ReferenceCurve
from trainables.ensembles.metrics.scores import Array, Targets
from trainables.ensembles.stored.runs import stored_runs

# Okabe and Ito, "Color Universal Design" (2008); the second round of colours is dashed.
COLOURS = ("#000000", "#D55E00", "#0072B2", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#8C8C8C")
DASHES = ("-", "--", ":")
MARKERS = "osD^vP"
BINS = 15


def draw(
    place: str,
    split: str,
    listed: list[Entry],
    fair: list[Entry],
    curve: ReferenceCurve | None,
    predictions: dict[str, pa.Table],
) -> dict[str, Figure]:
    """All figures by caption.

    Args:
        place: data set and architecture, for the captions.
        split: the scored images.
        listed: all entries.
        fair: the entries that are comparable with deep ensembles.
        curve: of deep ensembles; None without any.
        predictions: label -> stored predictions of all repeats.
    """
    drawn = {f"CLL against ensemble size, {place}: mean over repeats, bands of one standard error": _cll(listed)}
    if curve is not None and fair:
        drawn[f"Deep ensemble equivalent against ensemble size, {place}"] = _dee(fair, curve)
        drawn[f"Deep ensemble equivalent against training cost, {place}"] = _cost(fair, curve)
    drawn[f"Reliability of the whole ensembles, {place}: above 0 they are less certain than they should be"] = (
        _reliability(listed, predictions, split)
    )
    return drawn


def _axes() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(7.0, 4.0), layout="constrained")
    return figure, figure.subplots()


class Style(NamedTuple):
    """Colour and dashes of the line of an entry."""

    colour: str
    dashes: str


def _style(i: int) -> Style:
    return Style(COLOURS[i % len(COLOURS)], DASHES[i // len(COLOURS) % len(DASHES)])


def _legend(axes: Axes) -> None:
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)


def _lines(axes: Axes, entries: list[Entry], points: dict[str, tuple[list[float], list[tuple[float, float]]]]) -> None:
    """One line per entry from label -> (x, (mean, error) at each x), with a band, or bars, of one standard error."""
    for i, found in enumerate(entries):
        x, pairs = points[found.label]
        mean, error = np.array(pairs).T
        marker, style = MARKERS[i % len(MARKERS)] if len(x) < 20 else "", _style(i)
        axes.plot(
            x, mean, label=found.label, marker=marker, markersize=3, linewidth=1.2,
            color=style.colour, linestyle=style.dashes,
        )  # fmt: skip
        if not np.isfinite(error).all():
            continue
        if len(set(x)) == 1:  # a band has no width there
            axes.errorbar(x, mean, error, fmt="none", ecolor=style.colour, elinewidth=1.0, alpha=0.4, capsize=3)
        else:
            axes.fill_between(x, mean - error, mean + error, color=style.colour, alpha=0.15, linewidth=0)
    _legend(axes)


def _cll(listed: list[Entry]) -> Figure:
    figure, axes = _axes()
    curves = {found.label: found.curve("ll", True) for found in listed}
    _lines(axes, listed, {label: (list(curve), list(curve.values())) for label, curve in curves.items()})
    axes.set(xlabel="ensemble size K", ylabel="calibrated log-likelihood (nats)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def _worth(found: Entry, curve: ReferenceCurve) -> dict[int, tuple[float, float]]:
    return {size: mean_and_error(one.value for one in worth) for size, worth in found.equivalents(curve).items()}


def _dee(fair: list[Entry], curve: ReferenceCurve) -> Figure:
    figure, axes = _axes()
    worth = {found.label: _worth(found, curve) for found in fair}
    _lines(axes, fair, {label: (list(points), list(points.values())) for label, points in worth.items()})
    axes.set(xlabel="ensemble size K", ylabel="deep ensemble equivalent (networks)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def _cost(fair: list[Entry], curve: ReferenceCurve) -> Figure:
    figure, axes = _axes()
    points = {}
    for found in fair:
        worth = _worth(found, curve)
        points[found.label] = [float(found.cost_epochs[size]) for size in worth], list(worth.values())
    _lines(axes, fair, points)
    axes.set(xscale="log", xlabel="training cost (epochs)", ylabel="deep ensemble equivalent (networks)")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter())
    return figure


def _reliability(listed: list[Entry], predictions: dict[str, pa.Table], split: str) -> Figure:
    figure, axes = _axes()
    axes.axhline(0.0, color="#8C8C8C", linewidth=0.8)
    for i, found in enumerate(listed):
        gaps = np.array([reliability(run.lp, run.targets) for run in stored_runs(predictions[found.label], split)])
        mean = _mean_of_known(gaps)
        style = _style(i)
        axes.plot(
            mean[0], mean[1], label=found.label, marker=MARKERS[i % len(MARKERS)], markersize=3, linewidth=1.0,
            color=style.colour, linestyle=style.dashes,
        )  # fmt: skip
    axes.set(xlabel="confidence of the prediction", ylabel="accuracy minus confidence")
    _legend(axes)
    return figure


def _mean_of_known(values: Array) -> Array:
    """Mean over the first axis without nan; nan where all values are nan."""
    known = np.isfinite(values)
    count = known.sum(axis=0)
    total = np.where(known, values, 0.0).sum(axis=0)
    mean: Array = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return mean


def reliability(members: Array, targets: Targets, bins: int = BINS) -> Array:
    """Mean confidence, and accuracy minus confidence, of the ensemble in bins of equal count, (2, bins).

    Args:
        members: (K, n, classes) log-probabilities.
        targets: (n,) classes.
    """
    average = RunningAverage()
    for member in members:
        average.add(member)
    lp = average.log_probabilities()
    confidence, hit = np.exp(lp.max(axis=1)), lp.argmax(axis=1) == targets
    parts = np.array_split(np.argsort(confidence, kind="stable"), bins)
    means = [(confidence[rows].mean(), hit[rows].mean()) if len(rows) else (np.nan, np.nan) for rows in parts]
    sure, right = np.array(means).T
    return np.stack([sure, right - sure])
