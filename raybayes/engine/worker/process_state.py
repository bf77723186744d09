"""Keeps the trials of one process apart: each finds the process as the first one found it.

Trainables draw from `ctx.rng` and hold no state; this covers what they cannot reach (a library's dropout, a flag that
a helper sets, a process group that was never destroyed), so that a trial's numbers do not depend on what its process
has trained before.
"""

from __future__ import annotations

import contextlib
import gc
import os
import random
import resource
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import psutil
import torch
import torch.distributed as dist

from raybayes.engine.worker.torch_internals import process_groups
from raybayes.hardware import GIB

Undo = Callable[[], Any]


@contextlib.contextmanager
def isolate(seed: int, threads: int) -> Iterator[None]:
    """Give a trial its own global generators and thread count; afterwards restore all that it changed of the process.

    Restored: generators, threads, torch's and NumPy's global settings, environment, working directory, process groups.

    Args:
        seed: of the global generators.
        threads: of one torch operation.
    """
    undo = [_keep_generators(), _keep_torch_settings(), _keep_directory(), _keep_environment(), _keep_process_groups()]
    devices = list(range(torch.cuda.device_count()))
    torch.set_num_threads(threads)
    try:
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed)
            random.seed(seed)
            np.random.seed(seed % 2**32)
            yield
    finally:
        for each in undo:
            each()


def _keep_generators() -> Undo:
    python_state, numpy_state = random.getstate(), np.random.get_state()
    errors: Any = np.geterr()

    def restore() -> None:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
        np.seterr(**errors)

    return restore


def _keep_torch_settings() -> Undo:
    """Everything of torch that is one for the whole process and changes numbers or speed."""
    before = _torch_settings()

    def restore() -> None:
        now = _torch_settings()
        for name, put in _PUT.items():
            if now[name] != before[name]:  # only then: some of these import half of torch
                put(before[name])

    return restore


def _torch_settings() -> dict[str, Any]:
    cudnn = torch.backends.cudnn
    return {
        "threads": torch.get_num_threads(),
        "dtype": torch.get_default_dtype(),
        "gradients": torch.is_grad_enabled(),
        "device": torch.get_default_device(),
        "precision": torch.get_float32_matmul_precision(),
        "deterministic": (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
        ),
        "cudnn": (cudnn.benchmark, cudnn.deterministic),
    }


def _put_cudnn(flags: tuple[bool, bool]) -> None:
    torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = flags


_PUT: dict[str, Callable[[Any], Any]] = {
    "threads": torch.set_num_threads,
    "dtype": torch.set_default_dtype,
    "gradients": torch.set_grad_enabled,
    "device": torch.set_default_device,
    "precision": torch.set_float32_matmul_precision,
    "deterministic": lambda flags: torch.use_deterministic_algorithms(flags[0], warn_only=flags[1]),
    "cudnn": _put_cudnn,
}


def _keep_directory() -> Undo:
    here = os.getcwd()
    return lambda: os.chdir(here)


def _keep_environment() -> Undo:
    before = dict(os.environ)

    def restore() -> None:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update({name: value for name, value in before.items() if os.environ.get(name) != value})

    return restore


def _keep_process_groups() -> Undo:
    """Destroys the groups of torch.distributed that a trial has made beside the default one."""
    if not (dist.is_available() and dist.is_initialized()):
        return lambda: None
    groups = process_groups()
    before = set(groups)

    def restore() -> None:
        for group in [group for group in groups if group not in before]:
            dist.destroy_process_group(group)

    return restore


def peak_gib() -> float:
    """The peak memory of this process so far."""
    unit = 1 if sys.platform == "darwin" else 1024  # Linux counts in KiB, macOS in bytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / GIB


def resident_gib() -> float:
    """The memory of this process now."""
    return float(psutil.Process().memory_info().rss) / GIB


class WorkerRecycler:
    """Cleans a process up between its trials, and says when a fresh one should take over.

    Args:
        trials: after how many trials.
        growth_gib: after how much growth of the process's memory since its first trial.
        memory_gib: measures the memory of the process.
    """

    def __init__(self, trials: int, growth_gib: float, memory_gib: Callable[[], float] = resident_gib) -> None:
        self._trials, self._growth_gib, self._memory_gib = trials, growth_gib, memory_gib
        self._trained = 0
        self._first_gib: float | None = None  # after the first trial, which loads what all others use

    def clean_up(self, trained: int) -> None:
        """Collect garbage and release cached memory of the GPUs, after so many trials that were trained together."""
        self._trained += trained
        gc.collect()
        if self._first_gib is None:
            # What is alive now stays alive: no later collection needs to look at it (0.1 s with torch imported).
            gc.freeze()
            self._first_gib = self._memory_gib()
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    @property
    def worn(self) -> bool:
        """Whether a fresh process should take over."""
        if self._trained >= self._trials:
            return True
        return self._first_gib is not None and self._memory_gib() - self._first_gib > self._growth_gib
