"""A slot's process trains one run after the other, and leaves when it should."""

from collections import Counter

import torch
from bursts import open_burst, prepare_sweep

import raybayes as rb
from raybayes.engine.controller.slot_limit import SlotLimit
from raybayes.engine.controller.slot_pool import SlotPool
from raybayes.engine.worker.process_group import SingleProcessGroup
from raybayes.engine.worker.process_state import WorkerRecycler
from raybayes.engine.worker.slot_loop import WorkerContext, serve


class LocalSlots:
    """A controller in this process, whose slots are served in this process."""

    def __init__(self, folder, name="s", **options):
        prepared = prepare_sweep(folder, name, **options)
        self.controller = open_burst(prepared)
        self.pool = SlotPool(self.controller, SlotLimit(9))
        for name in ("next_assignment", "on_run_end", "on_fusion_error", "on_storage_error", "on_slot_leave"):
            setattr(self, name, getattr(self.pool, name))
        for name in ("start_run", "on_report", "before_checkpoint", "on_run_error"):
            setattr(self, name, getattr(self.controller, name))
        self.path = prepared.layout.storage.display

    def serve_a_slot(self, trials=500, growth_gib=2.0, **recycling):
        """One slot from its first run to its end; the trials that ended meanwhile."""
        before = len(self.controller.progress().ended)
        slot = self.pool.open_slot()
        worker = WorkerContext(slot, SingleProcessGroup(), torch.device("cpu"), threads=1)
        try:
            serve(worker, self, WorkerRecycler(trials, growth_gib, **recycling))
        finally:
            self.pool.on_slot_exit(slot, "it has left")
        return [end.trial for end in self.controller.progress().ended[before:]]

    def found(self):
        self.controller.close()
        return rb.open_sweep(self.path)


def curves(sweep):
    return sweep.reports.select(["trial", "step", "loss", "final"]).to_pylist()


def test_reports_are_the_same_whether_or_not_a_process_is_used_again(tmp_path):
    config = {"noise": 0.5, "steps": 3}
    together = LocalSlots(tmp_path, "together", trials=6, config=config)
    assert together.serve_a_slot() == list(range(6))
    apart = LocalSlots(tmp_path, "apart", trials=6, config=config)
    assert [apart.serve_a_slot(trials=1) for _ in range(6)] == [[number] for number in range(6)]
    assert curves(together.found()) == curves(apart.found())


def test_a_process_leaves_after_so_many_trials(tmp_path):
    slots = LocalSlots(tmp_path, trials=5)
    assert slots.serve_a_slot(trials=2) == [0, 1]
    assert slots.serve_a_slot(trials=2) == [2, 3]
    assert slots.serve_a_slot(trials=2) == [4]
    assert slots.pool.over


def test_a_process_that_grows_leaves(tmp_path):
    sizes = iter([1.0, 1.0, 1.1, 1.3, 9.0])
    slots = LocalSlots(tmp_path, trials=5)
    assert slots.serve_a_slot(growth_gib=0.2, memory_gib=lambda: next(sizes)) == [0, 1, 2]


def test_a_process_whose_trial_raised_leaves_and_the_trial_fails_with_its_reason(tmp_path):
    slots = LocalSlots(tmp_path, trials=4, config={"fail_at": 2, "only_above": 0.2}, seed=1)
    ends = []
    while not slots.pool.over:
        try:
            ends.append(slots.serve_a_slot())
        except ValueError:
            ends.append("raised")
    rows = slots.found().trials.to_pylist()
    failed = [row for row in rows if row["state"] == "FAIL"]
    assert Counter(row["state"] for row in rows) == {"FAIL": ends.count("raised"), "COMPLETE": 4 - len(failed)}
    assert 0 < len(failed) < 4
    assert all("asked to fail at step 2" in row["failure"] for row in failed)


def test_a_slot_without_work_leaves_while_others_train(tmp_path):
    slots = LocalSlots(tmp_path, trials=2)
    busy, idle = slots.pool.open_slot(), slots.pool.open_slot()
    first, second = (slots.next_assignment(slot, ()).runs for slot in (busy, idle))
    assert first
    slots.controller.start_run(second[0].key, "n")
    slots.controller.finish(second[0].key, "it is not needed")
    worker = WorkerContext(idle, SingleProcessGroup(), torch.device("cpu"), threads=1, idle_s=0.05)
    serve(worker, slots, WorkerRecycler(500, 2.0))
    assert not slots.pool.over
