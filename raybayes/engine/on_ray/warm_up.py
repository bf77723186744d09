"""Loads what slots need into the processes of a private Ray, while the driver opens the study.

Ray gives a slot a process that is idle already, with all that was imported there.
"""

from __future__ import annotations

import importlib

import ray

from raybayes.spec.sweep_spec import Resources

_MODULES = ("torch", "raybayes.engine.on_ray.tune")


def load_modules() -> None:
    """Import what a slot imports."""
    for module in _MODULES:
        importlib.import_module(module)


def warm_up(slots: int, need: Resources) -> None:
    """Start to load modules in as many processes as there will be workers. Returns at once.

    A warm-up holds the CPUs of a worker: a slot that asks for them waits for the warm process instead of starting
    another. Slots with GPUs get processes of their own from Ray.
    """
    if need.gpus_per_worker or need.workers > 1:
        return
    load = ray.remote(load_modules).options(num_cpus=need.cpus_per_worker, max_retries=0)
    for _ in range(slots):
        load.remote()
