"""The profile of a sweep as a figure: how each slot spent its time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from raybayes.reporting.figures import style
from raybayes.reporting.figures.timeline import MOST_NODES, mark_cuts, time_unit, work_time
from raybayes.reporting.ranking import Floats
from raybayes.reporting.tables.slot_shares import group_by_slot
from raybayes.store.logs.profile import PARTS

BINS = 160
_ORDER = ("training", "saving", "reporting", "starting", "asking", "tidying", "idle")  # of the colours in a band
_COLOURS = {
    "training": style.BLUE, "saving": style.PURPLE, "reporting": style.SKY, "starting": style.ORANGE,
    "asking": style.GREEN, "tidying": style.GREY, "idle": style.LIGHT,
}  # fmt: skip
_COURSE = ("idle", "asking", "starting", "training", "reporting", "saving", "tidying")  # of a run
assert set(_ORDER) == set(_COLOURS) == set(_COURSE) == set(PARTS)


@dataclass(frozen=True)
class Spans:
    """The runs of one slot in order of time; all arrays are (runs,).

    Args:
        begin_s, end_s: Unix times; no two overlap.
        parts_s: begin and end of each part of a run, by part.
    """

    begin_s: Floats
    end_s: Floats
    parts_s: dict[str, tuple[Floats, Floats]]


def spans_of(rows: pa.Table) -> Spans:
    """When a slot did what, from one row per run.

    The parts of a run follow each other once: parts that happened many times (reporting, saving) are drawn after the
    training. Runs that were trained together have shares of its time, which are drawn one after the other.
    """
    rows = rows.sort_by([("ended", "ascending")])
    seconds = {part: np.asarray(rows[part].to_numpy(), dtype=np.float64) for part in PARTS}
    whole = sum(seconds.values(), np.zeros(len(rows)))
    end = np.array(rows["ended"].to_numpy(), dtype=np.float64)
    begin = end - whole
    for i in range(len(end) - 2, -1, -1):  # backwards, so that none overlaps the next
        end[i] = min(end[i], begin[i + 1])
        begin[i] = end[i] - whole[i]
    parts, at = {}, begin
    for part in _COURSE:
        parts[part] = at, at + seconds[part]
        at = at + seconds[part]
    return Spans(begin, end, parts)


def draw_slot_times(profile: pa.Table) -> Figure | None:
    """Draw a band per slot (per node where there are many), coloured by how it spent its time.

    Args:
        profile: one row per run (`raybayes.store.logs.profile.SCHEMA`).
    """
    groups = group_by_slot(profile)
    if not groups:
        return None
    shown = dict(list(groups.items())[:MOST_NODES])
    slots = {name: [spans_of(rows) for rows in members] for name, members in shown.items()}
    every = [span for members in slots.values() for span in members]
    time = work_time(np.concatenate([s.begin_s for s in every]), np.concatenate([s.end_s for s in every]))
    unit_s, unit = time_unit(time.total_s)
    edges_s = np.linspace(0.0, time.total_s, BINS + 1)
    with style.figure_style():
        figure = style.new_figure(height_in=float(np.clip(1.5 + 0.3 * len(slots), 2.0, 7.0)))
        axes = figure.add_subplot()
        for row, members in enumerate(slots.values()):
            placed = [_placed(span, time.place) for span in members]
            _draw_band(axes, row, placed, edges_s, unit_s, len(profile) > style.MANY)
        mark_cuts(axes, time, unit_s)
        axes.set_xlim(0, time.total_s / unit_s or 1.0)
        axes.set_ylim(len(slots), 0)
        kind = "slot" if all(len(members) == 1 for members in slots.values()) else "node"
        axes.set_yticks(np.arange(len(slots)) + 0.5, [f"slot {name}" if kind == "slot" else name for name in slots])
        axes.grid(visible=False)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel(f"time since the first run began ({unit})")
        more = f"; {len(groups) - len(shown)} {kind}s not drawn" if len(groups) > len(shown) else ""
        axes.set_title(f"{len(profile)} runs{more}", pad=16 if time.cuts else 6)
        there = [part for part in _ORDER if any((s.parts_s[part][1] > s.parts_s[part][0]).any() for s in every)]
        handles = [Patch(color=_COLOURS[part], label=part) for part in there]
        figure.legend(handles=handles, loc="outside lower center", ncols=7, frameon=False)
    return figure


def _placed(span: Spans, place: Callable[[Floats], Floats]) -> dict[str, tuple[Floats, Floats]]:
    return {part: (place(begin), place(end)) for part, (begin, end) in span.parts_s.items()}


def _draw_band(
    axes: Axes, row: int, slots: list[dict[str, tuple[Floats, Floats]]], edges_s: Floats, unit_s: float, many: bool
) -> None:
    """Draw stacked shares per bin of time; white where no slot existed."""
    x = np.repeat(edges_s / unit_s, 2)[1:-1]
    low = np.full(len(edges_s) - 1, row + 0.92)
    shapes, colours = [], []
    for part in _ORDER:
        share = sum((bin_shares(*slot[part], edges_s) for slot in slots), np.zeros(len(low))) * 0.84 / len(slots)
        if share.any():
            outline = np.repeat(low - share, 2), np.repeat(low, 2)[::-1]
            shapes.append(np.stack([np.concatenate([x, x[::-1]]), np.concatenate(outline)], 1))
            colours.append(_COLOURS[part])
        low = low - share
    # Not as patches: matplotlib would compute limits from the corners of each.
    bands = PolyCollection(shapes, facecolors=colours, linewidths=0, rasterized=many)
    axes.add_collection(bands, autolim=False)


def bin_shares(begin: Floats, end: Floats, edges: Floats) -> Floats:
    """The share of each bin, in [0, 1], that non-overlapping intervals cover."""
    bounds = np.stack([begin, end], 1).ravel()  # ascending; covered time grows inside the intervals only
    covered = np.concatenate([[0.0], np.cumsum(np.diff(bounds)[::2])])
    grown = np.repeat(covered, 2)[1:-1]
    width = np.diff(edges)
    return np.asarray(np.diff(np.interp(edges, bounds, grown)) / np.where(width > 0, width, 1.0), dtype=np.float64)
