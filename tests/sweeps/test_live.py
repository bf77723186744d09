"""Looks at real sweeps through their whole life: before the first trial, while one trains, after restarts."""

import multiprocessing
import os
import signal
import time

import pytest

import raybayes as rb
from raybayes.errors import StoreError
from raybayes.store.filesystem import open_storage
from raybayes.store.layout import Layout
from raybayes.sweeps.live import LiveSweep


def sweep(name, **changes):
    options = {"trials": 3, "config": {"steps": 2}, "storage": "runs", "name": name, "executor": "local"}
    return rb.sweep("parabola", **{**options, **changes})


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def until(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def test_a_finished_sweep_and_what_is_added_to_it():
    found = sweep("a")
    follower = LiveSweep("runs/a")
    view = follower.look()
    assert view.finished
    assert view.active_burst is None
    assert view.states == {"complete": 3}
    assert view.best == found.best["trial"]
    assert {key: len(curve) for key, curve in view.curves.items()} == {(0, 0): 2, (1, 0): 2, (2, 0): 2}
    assert view.curves[0, 0][-1] == found.trials["loss"].to_pylist()[0]
    found.extend(2, executor="local")
    later = follower.look()  # the same follower, after another burst
    assert (later.wanted, later.ended, later.finished) == (5, 5, True)
    assert later.steps[4, 0] == 2
    assert later.trials.equals(rb.open_sweep("runs/a").trials)


def test_a_grid_is_finished_when_its_points_are():
    sweep("g", sampler="grid", space="GRID", trials=1000)
    view = LiveSweep("runs/g").look()
    assert view.finished
    assert view.wanted < 1000


def _slow(path):
    os.chdir(path)
    sweep("b", trials=2, config={"steps": 200, "sleep_s": 0.05}, checkpoint_every=0.1)


def test_a_running_sweep_a_kill_and_the_next_burst(tmp_path):
    process = multiprocessing.get_context("fork").Process(target=_slow, args=(str(tmp_path),))
    process.start()
    layout = Layout(open_storage("runs/b"))
    until(lambda: layout.storage.exists(layout.spec))
    follower = LiveSweep("runs/b")
    until(lambda: follower.look().steps.get((0, 0), 0) > 2)  # while trial 0 trains
    view = follower.look()
    assert view.active_burst.pid == process.pid
    assert view.states == {"running": 1}
    assert len(view.curves[0, 0]) >= 2
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    view = follower.look()
    assert view.active_burst is None
    assert view.states == {"paused": 1}
    assert not view.finished
    rb.resume("runs/b", executor="local", time_budget=0.001)
    assert follower.look().states["paused"] >= 1


def test_a_folder_that_is_no_sweep(tmp_path):
    with pytest.raises(StoreError, match="not a sweep"):
        LiveSweep(str(tmp_path))
