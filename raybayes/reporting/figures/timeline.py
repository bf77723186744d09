"""The timeline of a sweep: which trial ran when and where, and how well the machines were used."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from raybayes.reporting import ranking
from raybayes.reporting.figures import style
from raybayes.reporting.ranking import Floats
from raybayes.reporting.text import WORDS, duration, shorten

MOST_NODES = 24
_LONGEST_IDLE = 0.15  # of the busy time; a longer pause of the whole sweep is cut out
_CUT = 0.03
_NOWHERE = "no node"  # the lane of trials that ended before a worker started them
_UNITS = ((2 * 86400.0, 86400.0, "days"), (2 * 3600.0, 3600.0, "hours"), (120.0, 60.0, "minutes"), (0.0, 1.0, "s"))


@dataclass(frozen=True)
class Bar:
    """One trial's time on its node."""

    begin_s: float  # Unix epoch
    end_s: float
    state: str
    node: str


@dataclass(frozen=True)
class WorkTime:
    """Time without the long pauses of a sweep.

    Args:
        knots_s: Unix times at which work or a long pause begins or ends, ascending.
        places_s: seconds from the left end of the axis at which they are drawn.
        cuts: (place on the axis in s, length of the pause in s) of each pause that was cut out.
    """

    knots_s: Floats
    places_s: Floats
    cuts: tuple[tuple[float, float], ...]

    def place(self, time_s: Floats | float) -> Floats:
        """Seconds from the left end of the axis."""
        return np.asarray(np.interp(time_s, self.knots_s, self.places_s), dtype=np.float64)

    @property
    def total_s(self) -> float:
        """The length of the axis."""
        return float(self.places_s[-1])


def draw_timeline(trials: pa.Table) -> Figure | None:
    """Draw one bar per trial from start to end, grouped by node; long pauses of the sweep are cut out and marked."""
    bars = bars_of(trials)
    if not bars:
        return None
    nodes = sorted({bar.node for bar in bars}, key=lambda node: (node == _NOWHERE, node))
    shown = nodes[:MOST_NODES]
    time = work_time(np.array([bar.begin_s for bar in bars]), np.array([bar.end_s for bar in bars]))
    unit_s, unit = time_unit(time.total_s)
    present = [state for state in style.STATE_COLOURS if any(bar.state == state for bar in bars)]
    with style.figure_style():
        lanes = {node: lanes_of([bar for bar in bars if bar.node == node]) for node in shown}
        n_lanes = sum(1 + max(lane for _, lane in members) for members in lanes.values())
        figure = style.new_figure(height_in=float(np.clip(1.4 + 0.16 * n_lanes, 2.2, 7.0)))
        axes = figure.add_subplot()
        _draw_nodes(axes, lanes, time, unit_s)
        mark_cuts(axes, time, unit_s)
        axes.set_xlim(0, time.total_s / unit_s * 1.01 or 1.0)
        axes.set_xlabel(f"time since the first trial started ({unit})")
        axes.set_title(_title(bars, nodes, shown), pad=16 if time.cuts else 6)
        handles = [Patch(color=style.STATE_COLOURS[state], label=WORDS[state]) for state in present]
        figure.legend(handles=handles, loc="outside lower center", ncols=5, frameon=False)
    return figure


def _title(bars: Sequence[Bar], nodes: Sequence[str], shown: Sequence[str]) -> str:
    real = [node for node in nodes if node != _NOWHERE]
    placed = sum(bar.node != _NOWHERE for bar in bars)
    if not placed:
        return f"{_count(len(bars), 'trial')} on no node"
    title = f"{_count(placed, 'trial')} on {_count(len(real), 'node')}"
    if placed < len(bars):
        title += f"; {_count(len(bars) - placed, 'trial')} on none"
    hidden = len(set(real) - set(shown))
    return title + (f"; {_count(hidden, 'node')} not drawn" if hidden else "")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def time_unit(total_s: float) -> tuple[float, str]:
    """The seconds and the name of the unit of a time axis of that length."""
    return next((unit_s, unit) for least_s, unit_s, unit in _UNITS if total_s >= least_s)


def mark_cuts(axes: Axes, time: WorkTime, unit_s: float) -> None:
    """Draw a line, with its length, for each pause that is cut out."""
    for at_s, idle_s in time.cuts:
        axes.axvline(at_s / unit_s, color=style.BLACK, linestyle=":", linewidth=1.0)
        axes.annotate(
            f"{duration(idle_s)} idle",
            (at_s / unit_s, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 3),
            textcoords="offset points",
            fontsize=7,
            ha="center",
        )


def bars_of(trials: pa.Table) -> list[Bar]:
    """The bars of started trials; a running one ends at the last known time of the sweep."""
    started, ended = ranking.float_column(trials, "started"), ranking.float_column(trials, "ended")
    known = np.isfinite(started)
    if not known.any():
        return []
    worked = started + np.nan_to_num(ranking.float_column(trials, "seconds"))
    last = np.nanmax(np.concatenate([ended[known], worked[known]]))
    end = np.maximum(np.where(np.isfinite(ended), ended, last), started)
    states, nodes = ranking.state_column(trials), trials["node"].to_pylist()
    return [Bar(float(started[i]), float(end[i]), str(states[i]), nodes[i] or _NOWHERE) for i in np.flatnonzero(known)]


def work_time(begin_s: Floats, end_s: Floats, cut: float = _CUT) -> WorkTime:
    """A time axis without the long pauses between intervals.

    Args:
        begin_s, end_s: (intervals,), Unix times.
        cut: length at which such a pause is drawn, as a share of the busy time.
    """
    spans: list[list[float]] = []
    for begin, end in sorted(zip(begin_s.tolist(), end_s.tolist(), strict=True)):
        if spans and begin <= spans[-1][1]:
            spans[-1][1] = max(spans[-1][1], end)
        else:
            spans.append([begin, end])
    busy_s = sum(end - begin for begin, end in spans)
    knots, places, cuts = [spans[0][0]], [0.0], []
    for i, (begin, end) in enumerate(spans):
        if i:
            idle_s = begin - spans[i - 1][1]
            long = idle_s > _LONGEST_IDLE * busy_s
            drawn_s = cut * busy_s if long else idle_s
            if long:
                cuts.append((places[-1] + drawn_s / 2, idle_s))
            knots.append(begin)
            places.append(places[-1] + drawn_s)
        knots.append(end)
        places.append(places[-1] + end - begin)
    return WorkTime(np.array(knots), np.array(places), tuple(cuts))


def lanes_of(bars: Sequence[Bar]) -> list[tuple[Bar, int]]:
    """Each bar with the lowest lane, from 0, in which it does not overlap another."""
    busy: list[tuple[float, int]] = []
    free: list[int] = []
    placed = []
    for bar in sorted(bars, key=lambda bar: (bar.begin_s, bar.end_s)):
        while busy and busy[0][0] <= bar.begin_s:
            heapq.heappush(free, heapq.heappop(busy)[1])
        lane = heapq.heappop(free) if free else len(busy)
        heapq.heappush(busy, (bar.end_s, lane))
        placed.append((bar, lane))
    return placed


def _draw_nodes(axes: Axes, lanes: dict[str, list[tuple[Bar, int]]], time: WorkTime, unit_s: float) -> None:
    first, middles = 0, []
    boxes: dict[str, list[list[tuple[float, float]]]] = {}
    for members in lanes.values():
        for bar, lane in members:
            left, right = (float(time.place(t)) / unit_s for t in (bar.begin_s, bar.end_s))
            low = first + lane + 0.08
            box = [(left, low), (right, low), (right, low + 0.84), (left, low + 0.84)]
            boxes.setdefault(bar.state, []).append(box)
        n_lanes = 1 + max(lane for _, lane in members)
        middles.append(first + n_lanes / 2)
        first += n_lanes
        axes.axhline(first, color="#4D4D4D", linewidth=0.5)
    many = sum(map(len, boxes.values())) > style.MANY
    for state, members_of_state in boxes.items():
        colour = style.STATE_COLOURS.get(state, style.GREY)
        axes.add_collection(
            PolyCollection(members_of_state, facecolors=colour, edgecolors="white", linewidths=0.3, rasterized=many)
        )
    axes.set_yticks(middles, [shorten(node, 20) for node in lanes])
    axes.set_ylim(first, 0)
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
    axes.set_ylabel("node")
