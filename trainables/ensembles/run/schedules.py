"""Learning rates as functions of training time. Times are in epochs, fractions of an epoch included."""

from __future__ import annotations

import math
from collections.abc import Callable

from trainables.ensembles.config import Schedule
from trainables.ensembles.registry import require_same_names


def step_decay(t: float, ratio: float = 0.01) -> float:
    """The paper's schedule, relative to the first rate: 1 up to the middle, then linearly to `ratio` at 0.9.

    Args:
        t: elapsed share of the training, in [0, 1].
        ratio: last rate over first rate.
    """
    if t <= 0.5:
        return 1.0
    if t <= 0.9:
        return 1.0 - (1.0 - ratio) * (t - 0.5) / 0.4
    return ratio


def decay30(epoch: float) -> float:
    """The paper's schedule on ImageNet, relative to the first rate: a tenth every 30 epochs."""
    return 0.1 ** (int(epoch) // 30)


def cosine_restarts(epoch: float, cycle_epochs: float, max_lr: float) -> float:
    """Cosine annealing with warm restarts: max_lr at the start of each cycle, towards 0 at its end.

    References:
        Huang et al. 2017, arXiv 1704.00109, equation 2; the rate changes at every iteration.
    """
    return 0.5 * max_lr * (1.0 + math.cos(math.pi * (epoch % cycle_epochs) / cycle_epochs))


def triangle(epoch: float, cycle_epochs: float, ends: float, middle: float) -> float:
    """Linearly from `ends` to `middle` in the first half of a cycle and back in the second.

    References:
        Garipov et al. 2018, arXiv 1802.10026, section 4.
    """
    position = (epoch % cycle_epochs) / cycle_epochs
    share = 2 * position if position < 0.5 else 2 - 2 * position
    return (1 - share) * ends + share * middle


def variational(epoch: float, epochs: int, lr: float) -> float:
    """The learning rate of variational means: `step_decay` over the first half, then a thousandth."""
    return lr * step_decay(2 * epoch / epochs) if 2 * epoch < epochs else 1e-3 * lr


# Of the field `schedule`: (time in epochs, epochs of the stage) -> rate over the first rate.
SCHEDULES: dict[str, Callable[[float, int], float]] = {
    "step": lambda epoch, epochs: step_decay(int(epoch) / epochs),  # constant within an epoch
    "decay30": lambda epoch, epochs: decay30(epoch),
}
require_same_names("schedule", Schedule, SCHEDULES)
