"""Slots and their runs: who gets what, and what becomes of the run of a lost slot."""

import pytest

from raybayes.clock import VirtualClock
from raybayes.contract import Metric
from raybayes.engine.controller.controller import SweepController
from raybayes.engine.controller.failure_policy import START_LIMIT_S
from raybayes.engine.controller.slot_limit import SlotLimit
from raybayes.engine.controller.slot_pool import SlotPool
from raybayes.engine.messages import Report, RunResult, TimeBreakdown
from raybayes.search.plan import make_plan
from raybayes.space import Float, Space
from raybayes.spec.sweep_spec import SweepSpec
from raybayes.store.filesystem import open_storage
from raybayes.store.layout import Layout
from raybayes.store.trials import read_trials

SPACE = Space({"x": Float(0.0, 1.0)})


class PlayedSlots:
    """A burst, its roster, and slots that do as they are told."""

    def __init__(self, folder, trials=4, retries=1):
        self.clock = VirtualClock()
        self.layout = Layout(open_storage(str(folder)).child("s"))
        spec = SweepSpec(project="p", trials=trials, sampler="random", retries=retries, storage=str(folder), name="s")
        plan = make_plan(spec, SPACE, [Metric("loss", "minimize")], {})
        self.controller = SweepController(self.layout, spec, plan, clock=self.clock)
        self.pool = SlotPool(self.controller, SlotLimit(9), self.clock)

    def take(self, slot, done=None):
        """The slot's next run begins; its key."""
        [key] = self.take_several(slot, () if done is None else [done]) or [None]
        return key

    def take_several(self, slot, done=()):
        """The slot's next runs begin; their keys."""
        runs = self.pool.next_assignment(slot, done).runs
        for run in runs:
            self.controller.start_run(run.key, "n", ("node", slot))
        return [run.key for run in runs]

    def end(self, key, attempt=1):
        """The run's last report, and what its slot says of it then."""
        self.controller.on_report(key, Report(1, attempt, 1.0, {"loss": 1.0}, last=True))
        return RunResult(key, attempt, TimeBreakdown())

    def states(self):
        self.controller.close()
        return [row["state"] for row in read_trials(self.layout).to_pylist()]


def test_there_are_as_many_slots_as_there_is_work(tmp_path):
    played = PlayedSlots(tmp_path, trials=3)
    slots = [played.pool.open_slot() for _ in range(5)]
    assert slots == [1, 2, 3, None, None]
    keys = [played.take(slot) for slot in slots[:2]]
    assert keys == [(0, 0), (1, 0)]
    assert played.pool.open_slot() is None, "the third slot is on its way, for the third trial"
    played.pool.on_slot_exit(3)
    played.clock.advance(1.0)
    assert played.pool.open_slot() == 4


def test_a_slot_trains_one_run_after_the_other_and_learns_when_all_is_over(tmp_path):
    played = PlayedSlots(tmp_path, trials=3)
    slot = played.pool.open_slot()
    key, seen = played.take(slot), []
    while key is not None:
        seen.append(key[0])
        key = played.take(slot, played.end(key))
    assert seen == [0, 1, 2]
    assert played.pool.next_assignment(slot, ()).over
    assert played.states() == ["COMPLETE"] * 3


def test_a_slot_that_has_nothing_to_do_waits_while_others_train(tmp_path):
    played = PlayedSlots(tmp_path, trials=2)
    one, two = played.pool.open_slot(), played.pool.open_slot()
    first, second = played.take(one), played.take(two)
    assignment = played.pool.next_assignment(one, [played.end(first)])
    assert (assignment.runs, assignment.over) == ((), False)
    played.pool.on_slot_leave(two, [played.end(second)])
    assert played.pool.next_assignment(one, ()).over


def test_the_run_of_a_lost_slot_goes_to_the_next_one_that_asks(tmp_path):
    played = PlayedSlots(tmp_path, trials=3)
    one, two = played.pool.open_slot(), played.pool.open_slot()
    lost, other = played.take(one), played.take(two)
    assert "trial 0: its worker was lost: killed" in played.pool.on_slot_exit(one, "killed")
    assert played.take(two, played.end(other)) == lost
    assert played.take(two, played.end(lost, attempt=2)) == (2, 0)
    assert played.pool.next_assignment(one, ()).over, "the slot that was taken for dead has woken"
    played.pool.on_slot_leave(two, [played.end((2, 0))])
    assert played.states() == ["COMPLETE"] * 3


def test_what_a_training_function_raised_is_final(tmp_path):
    played = PlayedSlots(tmp_path, trials=1)
    slot = played.pool.open_slot()
    key = played.take(slot)
    played.controller.on_run_error(key, "ValueError: no")
    assert played.pool.on_slot_exit(slot, "the group has ended") is None
    assert played.states() == ["FAIL"]


def test_a_run_is_lost_as_often_as_the_retries_allow(tmp_path):
    played = PlayedSlots(tmp_path, trials=1, retries=1)
    for _ in range(2):
        slot = played.pool.open_slot()
        played.take(slot)
        played.pool.on_slot_exit(slot, "killed")
    assert played.pool.over
    assert played.states() == ["FAIL"]


def test_slots_that_never_start_are_tried_later_and_given_up_in_the_end(tmp_path):
    played = PlayedSlots(tmp_path)
    played.pool.on_slot_exit(played.pool.open_slot(), "the node is dead")
    assert played.pool.open_slot() is None, "not at once"
    played.clock.advance(1.0)
    slot = played.pool.open_slot()
    assert not played.pool.over
    played.clock.advance(START_LIMIT_S + 1)
    played.pool.on_slot_exit(slot, "the node is dead")
    assert played.pool.over
    assert "no worker could be started: the node is dead" in str(played.pool.problem)


@pytest.mark.parametrize("at_work", [False, True])
def test_a_process_that_cannot_be_made_is_a_problem_unless_others_work(tmp_path, at_work):
    played = PlayedSlots(tmp_path)
    if at_work:
        played.take(played.pool.open_slot())
    for _ in range(3):
        played.pool.on_slot_exit(played.pool.open_slot(), "no module named torch", broken=True)
    assert (played.pool.problem is None) == at_work


def test_slots_beyond_the_limit_leave_when_their_run_has_ended(tmp_path):
    played = PlayedSlots(tmp_path, trials=6)
    played.pool.slot_limit = SlotLimit(4, memory_gib=[10.0])
    first = played.pool.open_slot()
    assert played.pool.open_slot() is None, "nobody knows yet what a trial takes"
    key = played.take(first)
    played.pool.slot_limit.on_memory(3.0)
    others = [played.pool.open_slot() for _ in range(3)]
    assert others == [2, 3, None]
    taken = [played.take(slot) for slot in others[:2]]
    played.pool.slot_limit.on_memory(6.0)
    assert played.pool.next_assignment(2, [played.end(taken[0])]).over
    assert played.pool.next_assignment(3, [played.end(taken[1])]).over
    assert played.take(first, played.end(key)) == (3, 0), "the last one goes on"


def test_where_the_storage_refuses_the_burst_ends_and_the_trial_goes_on_later(tmp_path):
    played = PlayedSlots(tmp_path, trials=3, retries=0)
    slot = played.pool.open_slot()
    played.take(slot)
    played.pool.on_storage_error("no space left")
    played.pool.on_slot_exit(slot, "its process has ended")
    assert played.pool.over
    assert str(played.pool.problem) == "no space left"
    assert played.states() == ["PAUSED"]


def test_a_slot_that_is_idle_for_a_moment_is_still_wanted(tmp_path):
    played = PlayedSlots(tmp_path, trials=3)
    assert played.pool.demand == 3
    one, two = played.pool.open_slot(), played.pool.open_slot()
    first, second = played.take(one), played.take(two)
    third = played.take(one, played.end(first))
    assert played.take(two, played.end(second)) is None
    assert played.pool.demand == 2, "one is at work, and the other one waits for what may come"
    played.pool.on_slot_leave(two, [])
    assert played.pool.demand == 1
    played.pool.on_slot_leave(one, [played.end(third)])
    assert played.pool.demand == 0
