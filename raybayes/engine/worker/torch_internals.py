"""Every private name of torch that raybayes uses, with the version that it was checked on.

tests/engine/worker/test_torch_internals.py fails when one of them moves.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import FrameType, TracebackType
from typing import Any

import torch.distributed as dist

CHECKED_ON = "2.14"


def process_groups() -> Mapping[Any, Any]:
    """All process groups of this process, the default one among them; a live view. torch has no public list of them."""
    groups: Mapping[Any, Any] = dist.distributed_c10d._world.pg_map
    return groups


def is_collective_failure(trace: TracebackType | None) -> bool:
    """Whether an error was raised inside torch.distributed, which is how the surviving ranks notice a lost one.

    torch has no exception of its own for it: gloo raises RuntimeError, NCCL DistBackendError.
    """
    while trace is not None:
        frame: FrameType = trace.tb_frame
        if "/torch/distributed/" in frame.f_code.co_filename:
            return True
        trace = trace.tb_next
    return False
