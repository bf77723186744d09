"""A worker that is gone: its job goes on in another one, as the retries allow; a start on a dead node costs nothing."""

import pytest

from raybayes.clock import VirtualClock
from raybayes.contract import Action, Metric
from raybayes.engine.controller.controller import SweepController
from raybayes.engine.controller.failure_policy import LONGEST_PAUSE_S, START_LIMIT_S
from raybayes.engine.messages import Report
from raybayes.search.plan import make_plan
from raybayes.space import Float, Space
from raybayes.spec.sweep_spec import SweepSpec
from raybayes.store.filesystem import open_storage
from raybayes.store.layout import Layout
from raybayes.store.trials import read_trials

SPACE = Space({"x": Float(0.0, 1.0)})
HERE, THERE = ("node", 1), ("node", 2)


class Told:
    """A burst of two trials, and what it is told."""

    def __init__(self, folder, retries=2):
        self.clock = VirtualClock()
        self.layout = Layout(open_storage(str(folder)).child("s"))
        spec = SweepSpec(
            kind="sweep", project="p", trials=2, sampler="random", retries=retries, storage=str(folder), name="s"
        )
        self.controller = SweepController(
            self.layout, spec, make_plan(spec, SPACE, [Metric("loss", "minimize")], {}), clock=self.clock
        )

    def take(self):
        run = self.controller.next_run()
        return None if run is None else run.key

    def report(self, key, attempt, step=1, last=False):
        return self.controller.on_report(key, Report(step, attempt, 1.0, {"loss": 1.0}, last))

    def rows(self):
        self.controller.close()
        return read_trials(self.layout).to_pylist()


def test_a_lost_job_comes_first_and_its_attempts_are_counted(tmp_path):
    told = Told(tmp_path)
    first = told.take()
    assert told.controller.start_run(first, "n", HERE).attempt == 1
    assert told.controller.on_worker_lost(first, "killed")
    assert told.take() == first
    assert told.controller.start_run(first, "n", THERE).attempt == 2
    told.report(first, 2, last=True)
    told.controller.finish(first, None)
    assert [(row["state"], row["attempts"]) for row in told.rows()] == [("COMPLETE", 2)]


@pytest.mark.parametrize("retries", [0, 2])
def test_the_retries_end_and_the_error_says_why(tmp_path, retries):
    told = Told(tmp_path, retries)
    key = told.take()
    for _ in range(retries + 1):
        told.controller.start_run(key, "n", HERE)
        told.controller.on_worker_lost(key, "it took too much memory")
        following = told.take()
    assert following != key, "the others go on"
    failed = told.rows()[0]
    assert failed["state"] == "FAIL"
    times = "once" if retries == 0 else "3 times"
    assert failed["failure"] == f"its worker was lost {times}; the last time: it took too much memory"


def test_a_worker_that_never_began_costs_no_retry_and_the_next_is_sent_later(tmp_path):
    told = Told(tmp_path, retries=0)
    key, pauses = told.take(), []
    for _ in range(7):
        told.controller.on_worker_lost(key, "the node is dead")
        if not pauses:
            assert told.take() != key, "another trial uses the slot meanwhile"
        before = told.clock.elapsed()
        while told.take() != key:
            assert not told.controller.over
            told.clock.advance(0.25)
        pauses.append(told.clock.elapsed() - before)
    assert pauses == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0, 5.0]
    assert pauses[-1] == LONGEST_PAUSE_S
    assert told.controller.start_run(key, "n", HERE).attempt == 1


def test_where_no_worker_ever_begins_the_trial_fails_in_the_end(tmp_path):
    told = Told(tmp_path)
    key = told.take()
    told.controller.on_worker_lost(key, "the node is dead")
    told.take()
    told.clock.advance(START_LIMIT_S + 1)
    assert told.take() == key
    told.controller.on_worker_lost(key, "the node is dead")
    assert told.rows()[0]["failure"] == "no worker could be started for it in 121 s; the last time: the node is dead"


def test_a_worker_that_cannot_be_made_counts(tmp_path):
    told = Told(tmp_path, retries=1)
    key = told.take()
    for _ in range(2):
        assert told.controller.on_worker_lost(key, "ModuleNotFoundError: no module named torch", counts=True)
        told.take()
    assert "no module named torch" in told.rows()[0]["failure"]


def test_a_process_that_was_taken_for_dead_is_told_to_stop_and_not_listened_to(tmp_path):
    told = Told(tmp_path)
    key = told.take()
    told.controller.start_run(key, "n", HERE)
    told.controller.on_worker_lost(key, "unavailable")
    assert told.report(key, 1).action is Action.PRUNE
    assert told.take() == key
    told.controller.start_run(key, "n", THERE)
    assert told.report(key, 1).action is Action.PRUNE
    told.controller.finish(key, None, attempt=1)
    assert told.report(key, 2).action is Action.CONTINUE
    told.report(key, 2, step=2, last=True)
    told.controller.finish(key, None, attempt=2)
    row = told.rows()[0]
    assert (row["state"], row["steps"]) == ("COMPLETE", 2)


def test_a_trial_that_was_lost_after_its_last_report_is_complete_without_another(tmp_path):
    told = Told(tmp_path)
    key = told.take()
    told.controller.start_run(key, "n", HERE)
    told.report(key, 1, last=True)
    told.controller.on_worker_lost(key, "killed")
    told.take()
    told.controller.start_run(key, "n", THERE)
    told.controller.finish(key, None, attempt=2)
    assert told.rows()[0]["state"] == "COMPLETE"


def test_the_end_of_a_process_that_had_told_the_end_of_its_job_is_nothing(tmp_path):
    told = Told(tmp_path)
    key = told.take()
    told.controller.start_run(key, "n", HERE)
    told.report(key, 1, last=True)
    told.controller.finish(key, None)
    assert not told.controller.on_worker_lost(key, "killed")
    assert told.rows()[0]["state"] == "COMPLETE"
