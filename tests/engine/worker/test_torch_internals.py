"""torch's private names are where raybayes expects them."""

import pytest
import torch
import torch.distributed as dist

from raybayes.engine.worker.torch_internals import CHECKED_ON, is_collective_failure, process_groups


def test_the_version_is_the_one_that_was_checked():
    found = ".".join(torch.__version__.split(".")[:2])
    assert found == CHECKED_ON, "run these tests, then name the new version in worker/torch_internals.py"


def test_all_groups_are_seen(tmp_path):
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    try:
        assert len(process_groups()) == 1
        group = dist.new_group([0])
        assert group in process_groups()
    finally:
        dist.destroy_process_group()
    assert not process_groups()


def test_a_failure_of_a_collective_operation_is_told_from_one_of_the_code(tmp_path):
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    try:
        with pytest.raises((RuntimeError, ValueError)) as raised:
            dist.broadcast(torch.zeros(1), src=3)
        assert is_collective_failure(raised.value.__traceback__)
    finally:
        dist.destroy_process_group()
    with pytest.raises(RuntimeError) as raised:
        torch.zeros(2) + torch.zeros(3)
    assert not is_collective_failure(raised.value.__traceback__)
