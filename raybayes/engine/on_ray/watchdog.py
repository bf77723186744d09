"""Stops the process of a trial that hangs. Stopping by agreement needs a report, and such a trial makes none."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

KILL_S = 10.0  # a node that does not answer for so long is dead


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:  # it has ended meanwhile
        return


def stop_hanging(controller: Any) -> None:
    """Fail the trials that have not reported within the limit, and kill their processes, each on its own node."""
    for node, pid in ray.get(controller.give_up_silent.remote()):
        # Not soft: on another node, the number is that of somebody else's process.
        there = NodeAffinitySchedulingStrategy(node, soft=False)
        with contextlib.suppress(ray.exceptions.RayError):  # the node is gone, and the process with it
            ray.get(ray.remote(_kill).options(num_cpus=0, scheduling_strategy=there).remote(pid), timeout=KILL_S)
