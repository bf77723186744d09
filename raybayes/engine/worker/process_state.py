"""What keeps the trials of one process apart: each finds the process as the first one found it.

Trainables draw from `ctx.rng` and hold no state; this covers what they cannot reach (a library's dropout, a flag that
a helper sets, a process group that was never destroyed), so that a trial's numbers do not depend on what its process
did before.
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

GIB = 2.0**30
Undo = Callable[[], Any]


@contextlib.contextmanager
def isolated(seed: int, threads: int) -> Iterator[None]:
    """Give a trial its own global generators and thread count, and put back all that it changed of the process.

    Put back: generators, threads, torch's and NumPy's global settings, environment, working folder, process groups.

    Args:
        seed: of the global generators.
        threads: of one torch operation.
    """
    undo = [_generators(), _torch_settings(), _folder(), _environment(), _process_groups()]
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


def _generators() -> Undo:
    python_state, numpy_state = random.getstate(), np.random.get_state()
    errors: Any = np.geterr()

    def back() -> None:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
        np.seterr(**errors)

    return back


def _torch_settings() -> Undo:
    """Everything of torch that is one for the whole process and changes numbers or speed."""
    before = _settings()

    def back() -> None:
        now = _settings()
        for name, put in _PUT.items():
            if now[name] != before[name]:  # not in vain: some of these import half of torch
                put(before[name])

    return back


def _settings() -> dict[str, Any]:
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


def _folder() -> Undo:
    here = os.getcwd()
    return lambda: os.chdir(here)


def _environment() -> Undo:
    before = dict(os.environ)

    def back() -> None:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update({name: value for name, value in before.items() if os.environ.get(name) != value})

    return back


def _process_groups() -> Undo:
    """Destroys the groups of torch.distributed that a trial has made beside the default one."""
    if not (dist.is_available() and dist.is_initialized()):
        return lambda: None
    groups = dist.distributed_c10d._world.pg_map
    before = set(groups)

    def back() -> None:
        for group in [group for group in groups if group not in before]:
            dist.destroy_process_group(group)

    return back


def peak_gib() -> float:
    """Memory of this process at its largest so far."""
    unit = 1 if sys.platform == "darwin" else 1024  # Linux counts in KiB, macOS in bytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / GIB


class WorkerRecycler:
    """Looks after a process between its trials: frees what the last one left, and watches what cannot be freed.

    Args:
        growth_gib: growth of the process's memory, since its first trial, above which it is worn out.
    """

    def __init__(self, growth_gib: float) -> None:
        self._growth_gib = growth_gib
        self._process = psutil.Process()
        self._first: float | None = None  # memory after the first trial, which imports and loads what all others use

    def tidy(self) -> None:
        """Collect garbage, give cached memory of the GPUs back."""
        gc.collect()
        if self._first is None:
            # What is alive now stays alive: no later collection needs to look at it (0.1 s with torch imported).
            gc.freeze()
            self._first = self._memory()
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    @property
    def worn(self) -> bool:
        """Whether the memory has grown beyond the limit."""
        return self._first is not None and (self._memory() - self._first) / GIB > self._growth_gib

    def _memory(self) -> float:
        return float(self._process.memory_info().rss)
