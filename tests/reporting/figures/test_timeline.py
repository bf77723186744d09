import itertools

import matplotlib
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raybayes.reporting.figures.timeline import Bar, draw_timeline, lanes_of, work_time

spans = st.lists(
    st.tuples(st.integers(0, 100), st.integers(0, 40)).map(lambda pair: (float(pair[0]), float(sum(pair)))),
    min_size=1,
    max_size=20,
)


@given(spans)
def test_bars_of_one_lane_never_overlap_and_lanes_are_few(found):
    placed = lanes_of([Bar(begin, end, "COMPLETE", "n") for begin, end in found])
    assert len(placed) == len(found)
    for lane in {lane for _, lane in placed}:
        members = sorted((bar.begin_s, bar.end_s) for bar, mine in placed if mine == lane)
        assert all(a[1] <= b[0] for a, b in itertools.pairwise(members))
    moments = {begin for begin, _ in found}
    most = max(sum(begin <= moment < end or begin == moment == end for begin, end in found) for moment in moments)
    assert max(lane for _, lane in placed) < most


@given(spans)
def test_time_keeps_its_order_and_the_length_of_work(found):
    begin, end = (np.array(times) for times in zip(*found, strict=True))
    time = work_time(begin, end)
    np.testing.assert_allclose(time.place(end) - time.place(begin), end - begin, atol=1e-9)
    order = np.argsort(begin, kind="stable")
    assert (np.diff(time.place(begin[order])) >= -1e-9).all()
    assert time.place(begin.min()) == 0
    assert time.total_s == pytest.approx(time.place(end.max()))


def test_a_long_pause_is_cut_and_a_short_one_is_not():
    time = work_time(np.array([0.0, 101.0, 10_000.0]), np.array([100.0, 200.0, 10_100.0]))
    assert [idle_s for _, idle_s in time.cuts] == [9800.0]
    assert time.total_s == pytest.approx(100 + 1 + 99 + 0.03 * 299 + 100)


def test_the_figure_groups_by_node_and_names_the_pause(sweep):
    trials, _ = sweep(30, nodes=3, gap_after=20)
    [axes] = (figure := draw_timeline(trials)).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["node0", "node1", "node2"]
    found = [text.get_text() for text in figure.findobj(matplotlib.text.Text)]
    assert any(text.endswith(" idle") for text in found)
    assert axes.get_xlabel() == "time since the first trial started (minutes)"
    assert sum(len(c.get_paths()) for c in axes.collections) == 30


def test_trials_that_still_run_reach_to_the_last_news():
    trials = pa.table(
        {
            "trial": [0, 1, 2],
            "state": ["COMPLETE", "RUNNING", "RUNNING"],
            "node": ["a", "a", None],
            "started": [0.0, 10.0, None],
            "ended": [50.0, None, None],
            "seconds": [50.0, 70.0, 0.0],
        }
    )
    [axes] = draw_timeline(trials).axes
    right = {path.get_extents().x1 for c in axes.collections for path in c.get_paths()}
    assert right == {50.0, 80.0}


def test_a_great_cluster_is_cut_to_a_page(sweep):
    trials, _ = sweep(200, nodes=40, slots=2)
    figure = draw_timeline(trials)
    assert figure.get_figheight() <= 7.0
    assert figure.axes[0].get_title() == "200 trials on 40 nodes; 16 nodes not drawn"


def test_a_trial_that_no_node_began_is_on_none():
    trials = pa.table(
        {
            "trial": [0, 1, 2],
            "state": ["COMPLETE", "COMPLETE", "FAIL"],
            "node": ["worker", "worker", None],
            "started": [0.0, 10.0, 20.0],
            "ended": [50.0, 60.0, 21.0],
            "seconds": [50.0, 50.0, 0.0],
        }
    )
    [axes] = draw_timeline(trials).axes
    assert axes.get_title() == "2 trials on 1 node; 1 trial on none"
    assert [label.get_text() for label in axes.get_yticklabels()] == ["worker", "no node"]
    [axes] = draw_timeline(trials.slice(2)).axes
    assert axes.get_title() == "1 trial on no node"
