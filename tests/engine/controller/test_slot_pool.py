"""Slots and the jobs that they hold: who gets what, what becomes of the job of a slot that is lost."""

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


class Office:
    """A burst, its roster, and slots that do as they are told."""

    def __init__(self, folder, trials=4, retries=1):
        self.clock = VirtualClock()
        self.layout = Layout(open_storage(str(folder)).child("s"))
        spec = SweepSpec(project="p", trials=trials, sampler="random", retries=retries, storage=str(folder), name="s")
        plan = make_plan(spec, SPACE, [Metric("loss", "minimize")], {})
        self.controller = SweepController(self.layout, spec, plan, clock=self.clock)
        self.pool = SlotPool(self.controller, SlotLimit(9), self.clock)

    def take(self, slot, done=None):
        """The slot's next job begins; its key."""
        [key] = self.take_several(slot, () if done is None else [done]) or [None]
        return key

    def take_several(self, slot, done=()):
        """The slot's next jobs begin; their keys."""
        runs = self.pool.next_assignment(slot, done).runs
        for run in runs:
            self.controller.start_run(run.key, "n", ("node", slot))
        return [run.key for run in runs]

    def end(self, key, attempt=1):
        """The job's last report, and what its slot says of it then."""
        self.controller.on_report(key, Report(1, attempt, 1.0, {"loss": 1.0}, last=True))
        return RunResult(key, attempt, TimeBreakdown())

    def states(self):
        self.controller.close()
        return [row["state"] for row in read_trials(self.layout).to_pylist()]


def test_there_are_as_many_slots_as_there_is_work(tmp_path):
    office = Office(tmp_path, trials=3)
    slots = [office.pool.open_slot() for _ in range(5)]
    assert slots == [1, 2, 3, None, None]
    keys = [office.take(slot) for slot in slots[:2]]
    assert keys == [(0, 0), (1, 0)]
    assert office.pool.open_slot() is None, "the third slot is on its way, for the third trial"
    office.pool.on_slot_exit(3)
    office.clock.advance(1.0)
    assert office.pool.open_slot() == 4


def test_a_slot_trains_one_job_after_the_other_and_hears_when_all_is_over(tmp_path):
    office = Office(tmp_path, trials=3)
    slot = office.pool.open_slot()
    key, seen = office.take(slot), []
    while key is not None:
        seen.append(key[0])
        key = office.take(slot, office.end(key))
    assert seen == [0, 1, 2]
    assert office.pool.next_assignment(slot, ()).over
    assert office.states() == ["COMPLETE"] * 3


def test_a_slot_that_has_nothing_to_do_is_told_to_wait_while_others_train(tmp_path):
    office = Office(tmp_path, trials=2)
    one, two = office.pool.open_slot(), office.pool.open_slot()
    first, second = office.take(one), office.take(two)
    assignment = office.pool.next_assignment(one, [office.end(first)])
    assert (assignment.runs, assignment.over) == ((), False)
    office.pool.on_slot_leave(two, [office.end(second)])
    assert office.pool.next_assignment(one, ()).over


def test_the_job_of_a_lost_slot_goes_to_the_next_one_that_asks(tmp_path):
    office = Office(tmp_path, trials=3)
    one, two = office.pool.open_slot(), office.pool.open_slot()
    lost, other = office.take(one), office.take(two)
    assert "trial 0: its worker was lost: killed" in office.pool.on_slot_exit(one, "killed")
    assert office.take(two, office.end(other)) == lost
    assert office.take(two, office.end(lost, attempt=2)) == (2, 0)
    assert office.pool.next_assignment(one, ()).over, "the slot that was taken for dead has woken"
    office.pool.on_slot_leave(two, [office.end((2, 0))])
    assert office.states() == ["COMPLETE"] * 3


def test_what_a_training_function_raised_is_final(tmp_path):
    office = Office(tmp_path, trials=1)
    slot = office.pool.open_slot()
    key = office.take(slot)
    office.controller.on_run_error(key, "ValueError: no")
    assert office.pool.on_slot_exit(slot, "the group has ended") is None
    assert office.states() == ["FAIL"]


def test_a_job_is_lost_as_often_as_the_retries_allow(tmp_path):
    office = Office(tmp_path, trials=1, retries=1)
    for _ in range(2):
        slot = office.pool.open_slot()
        office.take(slot)
        office.pool.on_slot_exit(slot, "killed")
    assert office.pool.over
    assert office.states() == ["FAIL"]


def test_slots_that_never_start_are_tried_later_and_given_up_in_the_end(tmp_path):
    office = Office(tmp_path)
    office.pool.on_slot_exit(office.pool.open_slot(), "the node is dead")
    assert office.pool.open_slot() is None, "not at once"
    office.clock.advance(1.0)
    slot = office.pool.open_slot()
    assert not office.pool.over
    office.clock.advance(START_LIMIT_S + 1)
    office.pool.on_slot_exit(slot, "the node is dead")
    assert office.pool.over
    assert "no worker could be started: the node is dead" in str(office.pool.problem)


@pytest.mark.parametrize("at_work", [False, True])
def test_a_process_that_cannot_be_made_is_a_problem_unless_others_work(tmp_path, at_work):
    office = Office(tmp_path)
    if at_work:
        office.take(office.pool.open_slot())
    for _ in range(3):
        office.pool.on_slot_exit(office.pool.open_slot(), "no module named torch", broken=True)
    assert (office.pool.problem is None) == at_work


def test_slots_that_there_is_no_more_room_for_leave_when_their_job_has_ended(tmp_path):
    office = Office(tmp_path, trials=6)
    office.pool.slot_limit = SlotLimit(4, memory_gib=[10.0])
    first = office.pool.open_slot()
    assert office.pool.open_slot() is None, "nobody knows yet what a trial takes"
    key = office.take(first)
    office.pool.slot_limit.on_memory(3.0)
    others = [office.pool.open_slot() for _ in range(3)]
    assert others == [2, 3, None]
    taken = [office.take(slot) for slot in others[:2]]
    office.pool.slot_limit.on_memory(6.0)
    assert office.pool.next_assignment(2, [office.end(taken[0])]).over
    assert office.pool.next_assignment(3, [office.end(taken[1])]).over
    assert office.take(first, office.end(key)) == (3, 0), "the last one goes on"


def test_where_the_storage_refuses_the_burst_ends_and_the_trial_goes_on_later(tmp_path):
    office = Office(tmp_path, trials=3, retries=0)
    slot = office.pool.open_slot()
    office.take(slot)
    office.pool.on_storage_error("no space left")
    office.pool.on_slot_exit(slot, "its process has ended")
    assert office.pool.over
    assert str(office.pool.problem) == "no space left"
    assert office.states() == ["PAUSED"]


def test_a_slot_that_is_idle_for_a_moment_is_still_wanted(tmp_path):
    office = Office(tmp_path, trials=3)
    assert office.pool.demand == 3
    one, two = office.pool.open_slot(), office.pool.open_slot()
    first, second = office.take(one), office.take(two)
    third = office.take(one, office.end(first))
    assert office.take(two, office.end(second)) is None
    assert office.pool.demand == 2, "one is at work, and the other one waits for what may come"
    office.pool.on_slot_leave(two, [])
    assert office.pool.demand == 1
    office.pool.on_slot_leave(one, [office.end(third)])
    assert office.pool.demand == 0
