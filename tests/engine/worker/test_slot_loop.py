"""What one process may be used for again and again: trials that do not see each other, and its own end in time."""

import gc
import os
import random
from collections import Counter

import numpy as np
import pytest
import torch

import raybayes as rb
from raybayes import catalog
from raybayes.engine.controller.controller import SweepController
from raybayes.engine.controller.slot_limit import SlotLimit
from raybayes.engine.controller.slot_pool import Slot, SlotPool
from raybayes.engine.worker import process_state, slot_loop
from raybayes.engine.worker.context import SingleProcessGroup
from raybayes.engine.worker.process_state import WorkerRecycler, isolated
from raybayes.engine.worker.slot_loop import WorkerContext
from raybayes.spec.sweep_spec import Reuse, SweepSpec
from raybayes.store.documents import write_spec
from raybayes.sweeps.execution import describe
from raybayes.sweeps.preparation import prepare


class Office:
    """A desk in this process, whose slots are served in this process."""

    def __init__(self, folder, name="s", **wanted):
        spec = SweepSpec(project="parabola", storage=str(folder), name=name, sampler="random", **wanted)
        prepared = prepare(spec)
        write_spec(prepared.layout, describe(prepared))
        self.controller = SweepController(prepared.layout, prepared.spec, prepared.plan, catalog.roots())
        self.pool = SlotPool(self.controller, SlotLimit(9))
        self.turn, self.leave, self.refuse = self.pool.turn, self.pool.leave, self.pool.refuse
        self.ended, self.apart = self.pool.ended, self.pool.apart
        self.start, self.report, self.failed = self.controller.start, self.controller.report, self.controller.failed
        self.saving = self.controller.saving
        self.path = str(folder / name)

    def serve_a_slot(self, reuse):
        """One slot from its first job to its end; the trials that ended meanwhile."""
        before = len(self.controller.progress().ended)
        slot = self.pool.open()
        try:
            slot_loop.serve(WorkerContext(slot, SingleProcessGroup(), torch.device("cpu"), 1), self, reuse)
        finally:
            self.pool.close(slot, "it has left")
        return [end.trial for end in self.controller.progress().ended[before:]]

    def found(self):
        self.controller.close()
        return rb.open_sweep(self.path)


def curves(sweep):
    return sweep.reports.select(["trial", "step", "loss", "final"]).to_pylist()


def test_reports_are_the_same_whether_or_not_a_process_is_used_again(tmp_path):
    config = {"noise": 0.5, "steps": 3}
    together = Office(tmp_path, "together", trials=6, config=config)
    assert together.serve_a_slot(Reuse()) == list(range(6))
    apart = Office(tmp_path, "apart", trials=6, config=config)
    assert [apart.serve_a_slot(Reuse(trials=1)) for _ in range(6)] == [[number] for number in range(6)]
    assert curves(together.found()) == curves(apart.found())


def test_a_process_leaves_after_so_many_trials(tmp_path):
    office = Office(tmp_path, trials=5)
    assert office.serve_a_slot(Reuse(trials=2)) == [0, 1]
    assert office.serve_a_slot(Reuse(trials=2)) == [2, 3]
    assert office.serve_a_slot(Reuse(trials=2)) == [4]
    assert office.pool.over


def test_a_process_that_grows_leaves(tmp_path, monkeypatch):
    sizes = iter([1.0, 1.0, 1.1, 1.3, 9.0])
    monkeypatch.setattr(WorkerRecycler, "_memory", lambda self: next(sizes) * process_state.GIB)
    office = Office(tmp_path, trials=5)
    assert office.serve_a_slot(Reuse(growth_gib=0.2)) == [0, 1, 2]


def test_a_process_whose_trial_raised_leaves_and_the_trial_fails_with_its_reason(tmp_path):
    office = Office(tmp_path, trials=4, config={"fail_at": 2, "only_above": 0.2}, seed=1)
    ends = []
    while not office.pool.over:
        try:
            ends.append(office.serve_a_slot(Reuse()))
        except ValueError:
            ends.append("raised")
    rows = office.found().trials.to_pylist()
    failed = [row for row in rows if row["state"] == "FAIL"]
    assert Counter(row["state"] for row in rows) == {"FAIL": ends.count("raised"), "COMPLETE": 4 - len(failed)}
    assert 0 < len(failed) < 4
    assert all("asked to fail at step 2" in row["failure"] for row in failed)


def test_a_slot_without_work_leaves_while_others_train(tmp_path, monkeypatch):
    monkeypatch.setattr(slot_loop, "IDLE_S", 0.05)
    office = Office(tmp_path, trials=1)
    other = office.pool.open()
    idle = slot_loop.WorkerContext(99, SingleProcessGroup(), torch.device("cpu"), 1)
    job = office.pool.turn(other, ()).jobs
    office.pool._slots[99] = Slot(0.0)
    slot_loop.serve(idle, office, Reuse())
    assert job
    assert not office.pool.over


def spoil(folder):
    """All that a trial may change of its process."""
    torch.set_num_threads(2)
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(False)
    torch.set_float32_matmul_precision("medium")
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.deterministic = True
    np.seterr(divide="ignore")
    torch.randn(3), np.random.rand(3), random.random()
    os.environ["RAYBAYES_SPOILT"] = "yes"
    os.environ.pop("HOME", None)
    os.chdir(folder)


def state():
    return (
        torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled(),
        torch.get_float32_matmul_precision(), torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic,
        np.geterr(), dict(os.environ), os.getcwd(), torch.random.get_rng_state().tolist(), random.getstate(),
        np.random.get_state()[1].tolist(),
    )  # fmt: skip


@pytest.mark.parametrize("raises", [False, True])
def test_a_trial_finds_the_process_as_the_first_one_did(tmp_path, raises):
    before = state()
    try:
        with isolated(seed=1, threads=1):
            first = (torch.randn(2).tolist(), np.random.rand(), random.random())
            spoil(tmp_path)
            if raises:
                raise ValueError
    except ValueError:
        pass
    assert state() == before
    with isolated(seed=1, threads=1):
        assert (torch.randn(2).tolist(), np.random.rand(), random.random()) == first


def test_process_groups_that_a_trial_made_are_destroyed(tmp_path):
    import torch.distributed as dist

    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    try:
        groups = dist.distributed_c10d._world.pg_map
        before = set(groups)
        with isolated(seed=1, threads=1):
            dist.new_group([0])
            assert len(groups) == 2
        assert set(groups) == before
        assert dist.is_initialized(), "the default group stays"
    finally:
        dist.destroy_process_group()


def test_what_a_trial_left_is_collected():
    class Node:
        alive = 0

        def __init__(self):
            self.me = self  # a circle, which only the garbage collector breaks
            Node.alive += 1

        def __del__(self):
            Node.alive -= 1

    upkeep = WorkerRecycler(growth_gib=1.0)
    try:
        upkeep.tidy()
        Node()
        assert Node.alive == 1
        upkeep.tidy()
        assert Node.alive == 0
        assert not upkeep.worn
    finally:
        gc.unfreeze()
