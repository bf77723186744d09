"""What each slot's time went to, as a picture: by hand-made profiles, and against slow sums."""

import itertools

import numpy as np
import pyarrow as pa
import pytest

from raybayes.reporting.figures import style
from raybayes.reporting.figures.slot_times import BINS, bin_shares, draw_slot_times, spans_of
from raybayes.reporting.tables.slot_shares import group_by_slot, slot_shares, to_percent
from raybayes.store.logs.profile import PARTS, SCHEMA


def job(slot, ended, node="n", trial=0, **seconds):
    place = {"slot": slot, "node": node, "trial": trial, "repeat": 0, "ended": ended}
    return {**place, **dict.fromkeys(PARTS, 0.0), **seconds}


def profile(*jobs):
    return pa.Table.from_pylist(list(jobs), schema=SCHEMA)


def steady(slots=2, jobs=50, node=lambda slot: "n"):
    """Jobs of 1 s, of which 0.8 s are training."""
    return profile(
        *(
            job(slot, 1000.0 + number + 1, node(slot), training=0.8, asking=0.1, reporting=0.1)
            for slot in range(slots)
            for number in range(jobs)
        )
    )


def test_the_parts_of_a_job_follow_each_other():
    span = spans_of(profile(job(1, 110.0, idle=1.0, asking=2.0, starting=3.0, training=4.0)))
    assert (span.begin_s[0], span.end_s[0]) == (100.0, 110.0)
    course = [(part, float(begin[0]), float(end[0])) for part, (begin, end) in span.parts_s.items() if end > begin]
    assert course == [
        ("idle", 100.0, 101.0), ("asking", 101.0, 103.0), ("starting", 103.0, 106.0), ("training", 106.0, 110.0),
    ]  # fmt: skip


def test_jobs_that_were_trained_together_stand_side_by_side():
    span = spans_of(profile(*(job(1, 110.0 + 0.001 * number, trial=number, training=2.0) for number in range(5))))
    assert span.end_s[-1] == pytest.approx(110.004)
    assert np.allclose(span.begin_s[1:], span.end_s[:-1])
    assert span.end_s[-1] - span.begin_s[0] == pytest.approx(10.0)


def test_bins_are_covered_as_a_slow_sum_says():
    rng = np.random.default_rng(0)
    bounds = np.sort(rng.uniform(0, 10, 40))
    begin, end = bounds[::2], bounds[1::2]
    edges = np.linspace(0, 10, 17)
    slow = [
        sum(max(0.0, min(e, right) - max(b, left)) for b, e in zip(begin, end, strict=True)) / (right - left)
        for left, right in itertools.pairwise(edges)
    ]
    assert bin_shares(begin, end, edges) == pytest.approx(slow)


def test_a_band_for_each_slot_with_the_shares_of_its_time():
    figure = draw_slot_times(steady())
    [axes] = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["slot 0", "slot 1"]
    assert len(axes.collections) == 2
    shapes, colours = axes.collections[0].get_paths(), axes.collections[0].get_facecolors()
    assert [tuple(colour[:3]) for colour in colours] == [to_rgb(c) for c in (style.BLUE, style.SKY, style.GREEN)]
    corners = shapes[0].vertices[:-1]
    assert len(corners) == 4 * BINS
    assert area(corners) == pytest.approx(0.8 * 0.84 * 50.0)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["training", "reporting", "asking"]
    assert style.render_figure(figure, "svg") == style.render_figure(draw_slot_times(steady()), "svg")


def area(corners):
    """Of a polygon, by the shoelace formula."""
    x, y = corners.T
    return abs(float(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)))) / 2


def to_rgb(colour):
    return tuple(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))


def test_many_slots_are_drawn_by_node():
    many = steady(slots=60, jobs=3, node=lambda slot: f"node{slot % 3}")
    assert list(group_by_slot(many)) == ["node0", "node1", "node2"]
    [axes] = draw_slot_times(many).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["node0", "node1", "node2"]
    assert len(slot_shares(many)) == 4


def test_a_long_sweep_is_no_larger_a_picture_than_a_short_one():
    short, long = (len(style.render_figure(draw_slot_times(steady(jobs=jobs)), "svg")) for jobs in (300, 1500))
    assert long < 1.3 * short


def test_a_long_pause_is_cut_out():
    pause = profile(job(1, 10.0, training=10.0), job(1, 5000.0, training=10.0))
    [axes] = draw_slot_times(pause).axes
    assert any("idle" in text.get_text() for text in axes.texts)
    assert axes.get_xlim()[1] < 30


def test_without_slots_there_is_nothing_to_draw():
    assert draw_slot_times(profile()) is None
    assert len(slot_shares(profile())) == 0


def test_percent_to_read():
    [everything, *slots] = to_percent(slot_shares(steady())).to_pylist()
    assert everything["slot"] == "all"
    assert (everything["jobs"], everything["training %"], everything["asking %"]) == (100, 80.0, 10.0)
    assert [row["slot"] for row in slots] == ["0", "1"]
