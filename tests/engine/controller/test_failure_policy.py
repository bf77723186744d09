"""A lost worker: another continues its run, within the retries; a start on a dead node costs none of them."""

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
from raybayes.store.logs.attempts import read_attempts
from raybayes.store.trials import read_trials

SPACE = Space({"x": Float(0.0, 1.0)})
HERE, THERE = ("node", 1), ("node", 2)


class PlayedBurst:
    """A burst of two trials whose workers the test plays."""

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


def test_a_lost_run_comes_first_and_its_attempts_are_counted(tmp_path):
    burst = PlayedBurst(tmp_path)
    first = burst.take()
    assert burst.controller.start_run(first, "n", HERE).attempt == 1
    assert burst.controller.on_worker_lost(first, "killed")
    assert burst.take() == first
    assert burst.controller.start_run(first, "n", THERE).attempt == 2
    burst.report(first, 2, last=True)
    burst.controller.finish(first, None)
    assert [(row["state"], row["attempts"]) for row in burst.rows()] == [("COMPLETE", 2)]
    attempts = [(row["attempt"], row["end"], row["cause"]) for row in read_attempts(burst.layout).to_pylist()]
    assert attempts == [(1, "worker lost", "killed"), (2, "complete", None)]


@pytest.mark.parametrize("retries", [0, 2])
def test_the_retries_end_and_the_error_says_why(tmp_path, retries):
    burst = PlayedBurst(tmp_path, retries)
    key = burst.take()
    for _ in range(retries + 1):
        burst.controller.start_run(key, "n", HERE)
        burst.controller.on_worker_lost(key, "it took too much memory")
        following = burst.take()
    assert following != key, "the others go on"
    failed = burst.rows()[0]
    assert failed["state"] == "FAIL"
    times = "once" if retries == 0 else "3 times"
    assert failed["failure"] == f"its worker was lost {times}; the last time: it took too much memory"


def test_a_worker_that_never_began_costs_no_retry_and_the_next_is_sent_later(tmp_path):
    burst = PlayedBurst(tmp_path, retries=0)
    key, pauses = burst.take(), []
    for _ in range(7):
        burst.controller.on_worker_lost(key, "the node is dead")
        if not pauses:
            assert burst.take() != key, "another trial uses the slot meanwhile"
        before = burst.clock.elapsed()
        while burst.take() != key:
            assert not burst.controller.over
            burst.clock.advance(0.25)
        pauses.append(burst.clock.elapsed() - before)
    assert pauses == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0, 5.0]
    assert pauses[-1] == LONGEST_PAUSE_S
    assert burst.controller.start_run(key, "n", HERE).attempt == 1


def test_where_no_worker_ever_begins_the_trial_fails_in_the_end(tmp_path):
    burst = PlayedBurst(tmp_path)
    key = burst.take()
    burst.controller.on_worker_lost(key, "the node is dead")
    burst.take()
    burst.clock.advance(START_LIMIT_S + 1)
    assert burst.take() == key
    burst.controller.on_worker_lost(key, "the node is dead")
    assert burst.rows()[0]["failure"] == "no worker could be started for it in 121 s; the last time: the node is dead"


def test_a_worker_that_cannot_be_made_counts(tmp_path):
    burst = PlayedBurst(tmp_path, retries=1)
    key = burst.take()
    for _ in range(2):
        assert burst.controller.on_worker_lost(key, "ModuleNotFoundError: no module named torch", counts=True)
        burst.take()
    assert "no module named torch" in burst.rows()[0]["failure"]


def test_a_worker_wrongly_presumed_dead_is_stopped_and_its_report_discarded(tmp_path):
    burst = PlayedBurst(tmp_path)
    key = burst.take()
    burst.controller.start_run(key, "n", HERE)
    burst.controller.on_worker_lost(key, "unavailable")
    assert burst.report(key, 1).action is Action.PRUNE
    assert burst.take() == key
    burst.controller.start_run(key, "n", THERE)
    assert burst.report(key, 1).action is Action.PRUNE
    burst.controller.finish(key, None, attempt=1)
    assert burst.report(key, 2).action is Action.CONTINUE
    burst.report(key, 2, step=2, last=True)
    burst.controller.finish(key, None, attempt=2)
    row = burst.rows()[0]
    assert (row["state"], row["steps"]) == ("COMPLETE", 2)


def test_a_trial_that_was_lost_after_its_last_report_is_complete_without_another(tmp_path):
    burst = PlayedBurst(tmp_path)
    key = burst.take()
    burst.controller.start_run(key, "n", HERE)
    burst.report(key, 1, last=True)
    burst.controller.on_worker_lost(key, "killed")
    burst.take()
    burst.controller.start_run(key, "n", THERE)
    burst.controller.finish(key, None, attempt=2)
    assert burst.rows()[0]["state"] == "COMPLETE"


def test_a_worker_that_is_lost_after_the_end_of_its_run_changes_nothing(tmp_path):
    burst = PlayedBurst(tmp_path)
    key = burst.take()
    burst.controller.start_run(key, "n", HERE)
    burst.report(key, 1, last=True)
    burst.controller.finish(key, None)
    assert not burst.controller.on_worker_lost(key, "killed")
    assert burst.rows()[0]["state"] == "COMPLETE"
