"""Kills the process of a run that hangs. Every other run is stopped at its next report, and such a run makes none."""

from __future__ import annotations

import contextlib
import os
import signal

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raybayes.engine.on_ray.controller_client import ControllerClient

KILL_S = 10.0  # a node that does not answer for so long is dead


def kill_hanging(controller: ControllerClient) -> None:
    """Fail the runs that have not reported within the limit, and kill their processes, each on its own node."""
    for node, pid in controller.fail_silent_runs():
        # Not soft: on another node, the number belongs to some other process.
        there = NodeAffinitySchedulingStrategy(node, soft=False)
        with contextlib.suppress(ray.exceptions.RayError):  # the node is gone, and the process with it
            ray.get(ray.remote(_kill).options(num_cpus=0, scheduling_strategy=there).remote(pid), timeout=KILL_S)


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
        os.kill(pid, signal.SIGKILL)
