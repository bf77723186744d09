"""What changes during a run: the step size, and how often a mixed roll-in follows the reference."""

from __future__ import annotations

import math
from typing import assert_never

from trainables.autoregressive.config import Config


def rollin_probability(config: Config, iteration: int) -> float:
    """Probability of the reference in mixed roll-ins; the schedules of the SeaRNN code, and a linear one.

    none: as configured; linear: from 1 to 0; sigmoid: 1/(1 + exp(12 i/(I - 1) - 6)); exponential: 0.9^(i / 1e5),
    0.9 from then on.
    """
    share = min(1.0, iteration / max(1, config.iterations - 1))
    match config.rollin_schedule:
        case "none":
            return config.rollin_probability
        case "linear":
            return 1 - share
        case "sigmoid":
            return 1 / (1 + math.exp(12 * share - 6))
        case "exponential":
            return float(0.9 ** min(1.0, iteration / 1e5))
        case _ as unknown:
            assert_never(unknown)


def lr_factor(config: Config, iteration: int) -> float:
    """Factor of the step size: a linear warm-up, then constant or a cosine to 0."""
    begin = min(1.0, (iteration + 1) / config.lr_warmup) if config.lr_warmup else 1.0
    if config.lr_decay != "cosine":
        return begin
    return begin * 0.5 * (1 + math.cos(math.pi * min(1.0, iteration / config.iterations)))
