"""The optimiser, and the step size of each update."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn

from raybayes.contract import require_entries
from trainables.flows.config import Config, OptimiserName, ScheduleName

OPTIMISERS: dict[OptimiserName, type[torch.optim.Adamax] | type[torch.optim.Adam]] = {
    "adamax": torch.optim.Adamax,
    "adam": torch.optim.Adam,
}
SCHEDULES: dict[ScheduleName, Callable[[float], float]] = {  # from the share that is done to the factor of lr
    "none": lambda done: 1.0,
    "linear": lambda done: 1 - done,
    "cosine": lambda done: 0.5 * (1 + math.cos(math.pi * done)),
}
require_entries(OptimiserName, OPTIMISERS, "trainables/flows/progress.py: OPTIMISERS")
require_entries(ScheduleName, SCHEDULES, "trainables/flows/progress.py: SCHEDULES")


_NOT_KERNELS = ("means", "gate", "shift", "label_gate", "label_shift")  # tables and gates, whatever their dimensions


def make_optimiser(config: Config, flow: nn.Module) -> torch.optim.Optimizer:
    """Adamax or Adam; weight decay acts on matrices and kernels, not on biases, ActNorms, class means, gates or T."""
    decayed, spared = list[nn.Parameter](), list[nn.Parameter]()
    for name, value in flow.named_parameters():
        kernel = value.dim() >= 2 and not any(part in name.split(".") for part in _NOT_KERNELS)
        (decayed if kernel else spared).append(value)
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": spared, "weight_decay": 0.0},
    ]
    kind = OPTIMISERS[config.optimiser]
    return kind([group for group in groups if group["params"]], lr=config.lr, foreach=True)


def step_size(config: Config, step: int) -> float:
    """The step size of update `step`, from 0: it rises during the warm-up, then follows the schedule."""
    if step < config.warmup:
        return config.lr * (step + 1) / config.warmup
    done = (step - config.warmup) / (config.steps - config.warmup)
    return config.lr * SCHEDULES[config.schedule](done)
