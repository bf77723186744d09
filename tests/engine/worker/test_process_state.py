"""A process that trains many trials: they do not see each other, and it says when a fresh one should take over."""

import gc
import os
import random

import numpy as np
import pytest
import torch

from raybayes.engine.worker.process_state import WorkerRecycler, isolate
from raybayes.engine.worker.torch_internals import process_groups


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
        with isolate(seed=1, threads=1):
            first = (torch.randn(2).tolist(), np.random.rand(), random.random())
            spoil(tmp_path)
            if raises:
                raise ValueError
    except ValueError:
        pass
    assert state() == before
    with isolate(seed=1, threads=1):
        assert (torch.randn(2).tolist(), np.random.rand(), random.random()) == first


def test_process_groups_that_a_trial_made_are_destroyed(tmp_path):
    import torch.distributed as dist

    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    try:
        groups = process_groups()
        before = set(groups)
        with isolate(seed=1, threads=1):
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

    recycler = WorkerRecycler(500, growth_gib=1.0)
    try:
        recycler.clean_up(1)
        Node()
        assert Node.alive == 1
        recycler.clean_up(1)
        assert Node.alive == 0
        assert not recycler.worn
    finally:
        gc.unfreeze()


def test_a_process_is_worn_after_so_many_trials_or_so_much_memory():
    sizes = iter([1.0, 1.5, 2.6])
    recycler = WorkerRecycler(10, growth_gib=1.0, memory_gib=lambda: next(sizes))
    try:
        recycler.clean_up(4)
        assert not recycler.worn
        assert recycler.worn, "it has grown by 1.6 GiB"
        recycler.clean_up(6)
        assert recycler.worn, "it has trained ten"
    finally:
        gc.unfreeze()
