"""The optimiser and how its step size runs over the training."""

from __future__ import annotations

import math

import torch
from torch import nn

from trainables.flows.config import Config


def make_optimiser(config: Config, flow: nn.Module) -> torch.optim.Optimizer:
    """Adamax or Adam; weight decay acts on matrices and kernels, not on biases, ActNorms, mixing diagonals or T."""
    parameters = [value for value in flow.parameters() if value.requires_grad]
    groups = [
        {"params": [value for value in parameters if value.dim() >= 2], "weight_decay": config.weight_decay},
        {"params": [value for value in parameters if value.dim() < 2], "weight_decay": 0.0},
    ]
    kind = torch.optim.Adamax if config.optimiser == "adamax" else torch.optim.Adam
    return kind([group for group in groups if group["params"]], lr=config.lr, foreach=True)


def step_size(config: Config, step: int) -> float:
    """The step size of update `step`, from 0: it rises over the warm-up, then falls to 0 over the rest of the run."""
    if step < config.warmup:
        return config.lr * (step + 1) / config.warmup
    done = (step - config.warmup) / (config.steps - config.warmup)
    factor = {"none": 1.0, "linear": 1 - done, "cosine": 0.5 * (1 + math.cos(math.pi * done))}[config.schedule]
    return config.lr * factor
