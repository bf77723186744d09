"""Learning rates as functions of training time. Times are in epochs, fractions of an epoch included."""

from __future__ import annotations

import math


def step(t: float, ratio: float = 0.01) -> float:
    """The paper's schedule: 1 in the first half, then linearly down to `ratio` at 0.9, then constant.

    Args:
        t: share of the training that is over, in [0, 1].
        ratio: last value over first value.
    """
    if t <= 0.5:
        return 1.0
    if t <= 0.9:
        return 1.0 - (1.0 - ratio) * (t - 0.5) / 0.4
    return ratio


def decay30(epoch: float) -> float:
    """The paper's schedule on ImageNet: a tenth every 30 epochs."""
    return 0.1 ** (int(epoch) // 30)


def cosine_restarts(epoch: float, cycle_epochs: float, max_lr: float) -> float:
    """Cosine annealing with warm restarts: max_lr at the start of each cycle, towards 0 at its end.

    Source: Huang et al. 2017, arXiv 1704.00109, equation 2; set anew at every iteration.
    """
    return 0.5 * max_lr * (1.0 + math.cos(math.pi * (epoch % cycle_epochs) / cycle_epochs))


def triangle(epoch: float, cycle_epochs: float, ends: float, middle: float) -> float:
    """Linearly from `ends` to `middle` in the first half of a cycle and back in the second.

    Source: Garipov et al. 2018, arXiv 1802.10026, section 4.
    """
    position = (epoch % cycle_epochs) / cycle_epochs
    share = 2 * position if position < 0.5 else 2 - 2 * position
    return (1 - share) * ends + share * middle


def variational(epoch: float, epochs: int, lr: float) -> float:
    """The learning rate of variational means: `step` over the first half, then a thousandth."""
    return lr * step(2 * epoch / epochs) if 2 * epoch < epochs else 1e-3 * lr
