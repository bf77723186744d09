"""Checkpoints that are carried to the storage beside the training."""

import logging
import threading
import time

import pytest
import torch

import raybayes as rb
from raybayes.clock import VirtualClock
from raybayes.engine.messages import TrialRun
from raybayes.engine.worker import checkpointer
from raybayes.engine.worker.checkpointer import COST, AsyncCheckpointer
from raybayes.engine.worker.process_group import SingleProcessGroup
from raybayes.errors import StoreError
from raybayes.store.checkpointing import checkpoints
from raybayes.store.filesystem import open_storage
from raybayes.store.layout import Layout

LOG = logging.getLogger("raybayes.trial")


class Controller:
    """Remembers which steps were announced, and what was stored by then."""

    def __init__(self, layout):
        self.layout, self.announced = layout, []

    def before_checkpoint(self, key, step):
        self.announced.append((step, checkpoints.list_steps(self.layout, *key)))


class Gate:
    """Uploads wait until it is opened."""

    def __init__(self, monkeypatch):
        self.open, self.begun = threading.Event(), threading.Event()
        whole = checkpoints.upload_rank

        def held(*arguments):
            self.begun.set()
            assert self.open.wait(30)
            return whole(*arguments)

        monkeypatch.setattr(checkpoints, "upload_rank", held)


class Pair:
    """Two ranks in two threads."""

    def __init__(self, rank, meeting, values):
        self.rank, self.size, self._meeting, self._values = rank, 2, meeting, values

    def gather(self, value):
        self._values[self.rank] = value
        self._meeting.wait(30)
        found = list(self._values)
        self._meeting.wait(30)
        return found


@pytest.fixture
def layout(tmp_path):
    return Layout(open_storage(str(tmp_path / "s")))


def checkpointer_of(layout, group=None, clock=None, checkpoint_every=10.0):
    run = TrialRun("parabola", {}, 3, 0, 0, layout.storage, checkpoint_every)
    return AsyncCheckpointer(run, Controller(layout), group or SingleProcessGroup(), clock or VirtualClock(), LOG)


def wait_until(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def stored(layout):
    return checkpoints.list_steps(layout, 3, 0)


def test_training_goes_on_while_a_checkpoint_is_on_its_way_and_the_next_is_not_due(layout, monkeypatch):
    gate, clock = Gate(monkeypatch), VirtualClock()
    checkpointer = checkpointer_of(layout, clock=clock)
    clock.advance(11)
    assert checkpointer.due
    content = {"w": torch.zeros(2)}
    checkpointer.save(4, content, wait=False)
    content["w"] += 1  # the training goes on with its tensors
    clock.advance(100)
    assert gate.begun.wait(30)
    checkpointer.poll()
    assert not checkpointer.due, "one on its way at most"
    assert stored(layout) == []
    gate.open.set()
    wait_until(lambda: stored(layout) == [4])
    wait_until(lambda: checkpointer.poll() or checkpointer.due)
    assert float(checkpoints.load(checkpoints.find_newest(layout, 3, 0))[0]["w"].sum()) == 0.0
    checkpointer.close()


def test_one_that_is_waited_for_comes_after_the_one_on_its_way(layout, monkeypatch):
    gate, checkpointer = Gate(monkeypatch), checkpointer_of(layout)
    checkpointer.save(4, {"w": 4}, wait=False)
    threading.Timer(0.1, gate.open.set).start()
    checkpointer.save(7, {"w": 7}, wait=True)
    assert stored(layout) == [4, 7], "both, the one before for the case that the last is damaged"
    assert checkpointer._controller.announced == [(4, []), (7, [4])], "reports are on disk before a checkpoint appears"
    checkpointer.save(9, {"w": 9}, wait=False)
    checkpointer.settle()
    assert stored(layout) == [7, 9]
    checkpointer.close()


@pytest.mark.parametrize("moment", ["before the upload", "before the manifest", "before it has its place"])
def test_a_process_that_dies_on_the_way_leaves_the_checkpoint_before(layout, monkeypatch, moment):
    checkpointer_of(layout).save(2, {"w": 2}, wait=True)

    def dead(*arguments, **options):
        raise SystemExit

    place = {
        "before the upload": (checkpoints, "upload_rank"),
        "before the manifest": (checkpoints, "publish"),
        "before it has its place": (checkpoints, "_put_in_place"),
    }[moment]
    checkpointer = checkpointer_of(layout)
    with monkeypatch.context() as patch:
        patch.setattr(*place, dead)
        checkpointer.save(5, {"w": 5}, wait=False)
        with pytest.raises(SystemExit):
            checkpointer.settle()
    assert stored(layout) == [2]
    checkpoints.remove_stale_parts(layout)
    assert layout.storage.list(layout.trial(3, 0)) == ["00000002"]
    assert checkpoints.load(checkpoints.find_newest(layout, 3, 0))[0] == {"w": 2}


def test_the_end_of_a_trial_breaks_off_what_is_on_its_way_and_leaves_nothing(layout, monkeypatch):
    gate, checkpointer = Gate(monkeypatch), checkpointer_of(layout)
    checkpointer.save(4, {"w": torch.zeros(2)}, wait=False)
    assert gate.begun.wait(30)
    checkpointer._abandoned = True
    gate.open.set()
    checkpointer.close()
    assert layout.storage.sizes() == {}
    assert not any(thread.is_alive() for thread in checkpointer._thread._threads)


def test_a_storage_that_refuses_costs_the_checkpoint_and_not_the_trial(layout, monkeypatch, caplog):
    def refused(*arguments):
        raise StoreError("cannot write this: No space left on device") from OSError("No space left on device")

    checkpointer = checkpointer_of(layout)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "upload_rank", refused)
        checkpointer.save(4, {"w": 4}, wait=False)
        checkpointer.settle()
    assert "step 4: no checkpoint was written" in caplog.text
    assert stored(layout) == []
    assert checkpointer._controller.announced == []
    checkpointer.save(5, {"w": 5}, wait=False)
    checkpointer.settle()
    assert stored(layout) == [5]
    checkpointer.close()


def no_room():
    return open("/dev/full", "wb")


def no_file():
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("made", [no_room, no_file])
def test_a_full_tmp_costs_the_checkpoint_and_not_the_trial(layout, monkeypatch, caplog, made):
    checkpointer_ = checkpointer_of(layout)
    with monkeypatch.context() as patch:
        patch.setattr(checkpointer.tempfile, "TemporaryFile", made)
        checkpointer_.save(4, {"w": torch.zeros(3)}, wait=False)
        checkpointer_.settle()
    assert "step 4: no checkpoint was written" in caplog.text
    checkpointer_.save(5, {"w": 5}, wait=False)
    checkpointer_.settle()
    assert stored(layout) == [5]
    checkpointer_.close()


def test_a_state_that_cannot_be_stored_fails_the_trial(layout):
    with pytest.raises(StoreError, match="which a checkpoint cannot hold"):
        checkpointer_of(layout).save(4, {"w": object()}, wait=False)


def test_the_longer_the_training_has_to_wait_the_less_often(layout, monkeypatch):
    clock = VirtualClock()
    checkpointer = checkpointer_of(layout, clock=clock)
    monkeypatch.setattr(checkpointer, "_stage", lambda staged, step, content: clock.advance(2.0))
    checkpointer.save(4, {"w": 4}, wait=False)
    checkpointer.settle()
    clock.advance(2.0 / COST - 0.5)
    assert not checkpointer.due
    clock.advance(1.0)
    assert checkpointer.due
    checkpointer.close()


def test_every_report_means_every_report(layout, monkeypatch):
    gate = Gate(monkeypatch)
    checkpointer = checkpointer_of(layout, checkpoint_every=0.0)
    for step in (1, 2, 3):
        assert checkpointer.due
        checkpointer.save(step, {"w": step}, wait=False)
        assert stored(layout)[-1] == step
    assert not gate.begun.is_set()


def test_two_ranks_are_one_checkpoint(layout, monkeypatch):
    gate, meeting, values = Gate(monkeypatch), threading.Barrier(2), [None, None]
    checkpointers = [checkpointer_of(layout, Pair(rank, meeting, values)) for rank in (0, 1)]
    both_on_their_way = threading.Barrier(3)

    def work(rank):
        checkpointer = checkpointers[rank]
        checkpointer.save(4, {"rank": rank}, wait=False)
        checkpointer.poll()
        both_on_their_way.wait(30)
        both_on_their_way.wait(30)
        checkpointer.settle()
        checkpointer.save(6, {"rank": rank}, wait=False)
        checkpointer.save(8, {"rank": rank}, wait=True)
        checkpointer.close()

    threads = [threading.Thread(target=work, args=(rank,)) for rank in (0, 1)]
    for thread in threads:
        thread.start()
    both_on_their_way.wait(30)
    assert stored(layout) == []
    gate.open.set()
    both_on_their_way.wait(30)
    for thread in threads:
        thread.join(30)
    assert stored(layout) == [6, 8]
    assert [state["rank"] for state in checkpoints.load(checkpoints.find_newest(layout, 3, 0))] == [0, 1]
    assert [step for step, _ in checkpointers[0]._controller.announced] == [4, 6, 8]
    assert checkpointers[1]._controller.announced == []


def test_a_whole_trial_with_checkpoints_beside_it(tmp_path, monkeypatch):
    """Resumed from one that was carried beside the training: the same numbers as without an interruption."""
    monkeypatch.setattr(checkpointer, "COST", 10.0)  # a slow moment of the machine must not space them out
    config = {"steps": 200, "noise": 0.3}
    options = {"trials": 1, "storage": str(tmp_path), "executor": "local", "checkpoint_every": 0.01}
    carried = []
    whole = checkpoints.upload_rank
    monkeypatch.setattr(checkpoints, "upload_rank", lambda *a: carried.append(a[3]) or whole(*a))
    sweep = rb.sweep("parabola", config={**config, "sleep_s": 0.01}, name="s", time_budget=1.0, **options)
    assert sweep.trials["state"].to_pylist() == ["PAUSED"]
    assert carried
    found = rb.resume(sweep.path, executor="local", time_budget=None)
    plain = rb.sweep("parabola", config=config, name="w", **{**options, "checkpoint_every": 0.0})
    assert found.reports["loss"].to_pylist() == plain.reports["loss"].to_pylist()
    assert len(checkpoints.list_steps(found.layout, 0, 0)) == 1
