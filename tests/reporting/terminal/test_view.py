"""What `raybayes watch` shows, from made-up sweeps: words, numbers, and never wider than the terminal."""

import io
import math
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from rich.console import Console

from raybayes.reporting import ranking
from raybayes.reporting.terminal.log_lines import new_lines
from raybayes.reporting.terminal.view import (
    ActiveBurst,
    View,
    best_so_far,
    describe_usage,
    estimate_seconds_left,
    render_screen,
    sparkline,
)

USAGE = {
    "time": 0.0, "nodes": 2, "total": {"CPU": 64.0, "GPU": 4.0}, "taken": {"CPU": 8.0, "GPU": 3.5},
    "load": {"cpu": 41.7, "gpu": 93.2, "memory": 12.0},
}  # fmt: skip


def printed(renderable, width):
    out = io.StringIO()
    Console(file=out, width=width, force_terminal=False, highlight=False).print(renderable)
    return out.getvalue()


@pytest.fixture(scope="session")
def look(sweep, accuracy, nll):
    """A view of the first trials of a sweep; `n` of them, `wanted` in all."""

    def make(n=12, wanted=20, worker=True, **changes):
        trials, reports = sweep(n, running=2 if worker else 0, **changes)
        curves, steps = {}, {}
        for row in reports.to_pylist():
            curves.setdefault((row["trial"], 0), []).append(row["accuracy"])
            steps[row["trial"], 0] = row["step"]
        known = [time for time in trials["ended"].to_pylist() if time] or [0.0]
        return View(
            "ensembles-lr", "runs/ensembles-lr", "ensembles", "epoch", (accuracy, nll), wanted, trials, curves, steps,
            max(known) + 1.0, ActiveBurst("node7", 4321, 3.2) if worker else None, {**USAGE, "time": max(known)},
        )  # fmt: skip

    return make


def test_a_sparkline_goes_from_lowest_to_highest():
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7]) == "▁▂▃▄▅▆▇█"
    assert sparkline([1.0, math.nan, 3.0]) == "▁·█"
    assert sparkline([5.0, 5.0]) == "▄▄"
    assert sparkline([]) == ""
    assert sparkline([math.nan, math.inf]) == "··"
    assert sparkline([-1e308, 1e308]) == "▄▄"  # their difference is no number
    many = sparkline(list(range(1000)), width=10)
    assert len(many) == 10
    assert many[-1] == "█"


@pytest.mark.parametrize("width", [60, 80, 100])
def test_the_screen_fits_and_says_what_goes_on(look, width):
    text = printed(render_screen(look(), width), width)
    assert max(len(line) for line in text.splitlines()) <= width
    assert "ensembles-lr" in text
    assert "10 of 20" in text
    assert "2 running" in text


def test_everything_has_its_place(look):
    view = look(bad_rate=0.3, seed=2)
    text = printed(render_screen(view, 100), 100)
    assert "running on node7, process 4321, last heartbeat 3.2 s ago" in text
    assert f"in trial {view.best}" in text
    assert "CPU 8 of 64 in use, 42 % busy   GPU 3.5 of 4 in use, 93 % busy   memory 12 % full   2 nodes" in text
    assert "ValueError: the loss is nan after step 3 of 30" in text
    assert "left" in text
    for trial in view.trials.to_pylist():
        if trial["state"] == "RUNNING":
            assert f"  {view.steps[trial['trial'], 0]}  " in text
    assert text.rstrip().endswith("runs/ensembles-lr")


def test_without_a_worker_nothing_runs_and_it_says_what_to_do(look):
    view = replace(look(), active_burst=None)
    text = printed(render_screen(view, 100), 100)
    assert "paused, no burst is running; resume with: raybayes resume runs/ensembles-lr" in text
    assert "2 paused" in text
    assert "left" not in text
    assert not view.finished
    assert replace(look(20, worker=False), wanted=20).finished


def test_old_use_of_machines_says_its_age(look):
    view = look()
    assert "2 m 00 s ago: CPU" in printed(render_screen(replace(view, now=view.usage["time"] + 120.0), 100), 100)
    assert describe_usage({}) == ""


def test_a_sweep_without_any_trial_is_a_screen(look, empty):
    view = replace(look(), trials=empty[0], curves={}, steps={}, usage={})
    text = printed(render_screen(view, 80), 80)
    assert "0 of 20" in text
    assert estimate_seconds_left(view) is None


def test_the_best_so_far_never_gets_worse(look):
    view = look(30)
    curve = best_so_far(view)
    assert len(curve) == ranking.finished_mask(view.trials, view.objectives[:1]).sum()
    assert (np.diff(curve) >= 0).all()
    assert curve[-1] == max(curve)


def test_time_left_is_that_of_equal_trials():
    done, running = {"state": "COMPLETE", "seconds": 10.0}, {"state": "RUNNING", "seconds": 0.0, "started": 40.0}
    rows = [{"trial": i, **done, "started": 10.0 * i, "ended": 10.0 * i + 10} for i in range(4)]
    rows += [{"trial": i, **running, "ended": None} for i in (4, 5)]
    trials = pa.Table.from_pylist(rows).append_column("failure", pa.array([None] * 6, pa.string()))
    view = View("s", "runs/s", "p", "epoch", (), 10, trials, {}, {}, 46.0, ActiveBurst("h", 1, 0.0))
    assert estimate_seconds_left(view) == pytest.approx((4 + 4 + 4 * 10) / 2)
    late = replace(view, now=100.0)  # longer than any before: they may end any moment, but not in the past
    assert estimate_seconds_left(late) == pytest.approx((1 + 1 + 4 * 10) / 2)
    assert estimate_seconds_left(replace(view, active_burst=None)) is None


def test_a_log_gets_one_line_for_each_thing_that_happened(look):
    first, later = look(), look(16)
    works = "running on node7, process 4321, last heartbeat 3.2 s ago"
    assert new_lines(None, first) == [f"ensembles-lr: {works}; {first.ended} of 20 trials finished"]
    lines = new_lines(first, later)
    assert len(lines) == later.ended - first.ended
    assert all("best accuracy" in line for line in lines)
    assert new_lines(later, later) == []
    [line] = new_lines(later, replace(later, active_burst=None))
    assert "no burst is running" in line
    [line] = new_lines(replace(later, active_burst=None), replace(later, active_burst=ActiveBurst("node9", 1, 0.0)))
    assert "running on node9" in line
    [line] = new_lines(later, replace(later, wanted=30))
    assert "of 30" in line
