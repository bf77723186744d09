"""The optimiser and its step sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from trainables.oneshot.config import Config, OptimiserName
from trainables.oneshot.detection.detector import Detector
from trainables.oneshot.registry import require_same_names

Groups = list[dict[str, Any]]  # parameters with their step size


def _adam(groups: Groups, config: Config) -> torch.optim.Optimizer:
    return torch.optim.Adam(groups, weight_decay=config.optim.weight_decay)


def _sgd(groups: Groups, config: Config) -> torch.optim.Optimizer:
    values = config.optim
    return torch.optim.SGD(groups, lr=values.backbone_lr, momentum=values.momentum, weight_decay=values.weight_decay)


OPTIMISERS: dict[OptimiserName, Callable[[Groups, Config], torch.optim.Optimizer]] = {"adam": _adam, "sgd": _sgd}
require_same_names("optim.name", OptimiserName, OPTIMISERS)


def build_optimiser(detector: Detector, config: Config) -> torch.optim.Optimizer:
    """An optimiser with two groups of parameters, backbone and TransformNet, each with its step size."""
    values = config.optim
    groups: Groups = [
        {"params": [p for p in part.parameters() if p.requires_grad], "lr": lr, "base_lr": lr}
        for part, lr in ((detector.backbone, values.backbone_lr), (detector.head, values.transform_lr))
    ]
    return OPTIMISERS[values.name]([group for group in groups if group["params"]], config)


def set_step_sizes(optimiser: torch.optim.Optimizer, config: Config, update: int) -> None:
    """Set the step sizes of an update; they fall by `decay` at every milestone."""
    passed = sum(update >= share * config.steps for share in config.optim.milestones)
    for group in optimiser.param_groups:
        group["lr"] = group["base_lr"] * config.optim.decay**passed
