"""Stops the process of a trial that hangs. Stopping by agreement needs a report, and such a trial makes none."""

from __future__ import annotations

import os
import signal
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:  # it has ended meanwhile
        return


def stop_silent(desk: Any) -> None:
    """Fail the trials that have not reported within the limit, and kill their processes, each on its own node.

    Tune then starts the worker again, which learns from the desk that its job is over, and takes the next one.
    """
    for node, pid in ray.get(desk.give_up_silent.remote()):
        there = NodeAffinitySchedulingStrategy(node, soft=True)
        ray.get(ray.remote(_kill).options(num_cpus=0, scheduling_strategy=there).remote(pid))
