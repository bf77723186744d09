"""Constants that are subtracted from costs to lower the variance of a gradient."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from raybayes.errors import SpecError

Baseline = Literal["none", "ema", "best", "loo"]
STATISTICS = 3  # f, f ‖s‖², ‖s‖²
_LEARNT = ("ema", "best")


class RunningBaseline:
    """A constant a for each run that never depends on the sample it is subtracted from.

    Args:
        kind: "none" (0), "ema" (moving average of past costs), "best" (moving estimate of E[f ‖s‖²] / E[‖s‖²], the
            constant with the smallest variance), "loo" (mean of the other N - 1 samples of the same update).
        momentum: share of the past in a moving average; one number, or (R, 1).

    Raises:
        SpecError: leave-one-out with fewer than 2 samples (when used).
    """

    def __init__(self, kind: Baseline, momentum: float | Tensor, runs: int, like: Tensor) -> None:
        self.kind, self._momentum = kind, momentum
        self._averages = torch.zeros(runs, STATISTICS, dtype=like.dtype, device=like.device)
        self._seen = 0

    def __call__(self, values: Tensor, samples: int) -> Tensor:
        """(R, S) or (R, 1), to be subtracted from values (R, S)."""
        if self.kind == "loo":
            return leave_one_out(values, samples)
        if self.kind == "ema":  # corrected for its start at 0: even one update with a = 0 slows Adam for a long time
            return self._averages[:, :1] / (1 - self._momentum**self._seen) if self._seen else self._averages[:, :1]
        if self.kind == "best":
            return self._averages[:, 1:2] / self._averages[:, 2:3].clamp_min(1e-300)
        return self._averages[:, :1]  # never observed: 0

    def statistics(self, values: Tensor, score: Tensor) -> Tensor | None:
        """(R, 3): means of f, f ‖s‖² and ‖s‖² of an update's samples; None if the baseline learns nothing."""
        if self.kind not in _LEARNT:
            return None
        squares = score.flatten(2).square().sum(-1)
        return torch.stack([values.mean(-1), (values * squares).mean(-1), squares.mean(-1)], -1)

    def observe(self, statistics: Tensor) -> None:
        if self.kind in _LEARNT:
            self._averages = self._momentum * self._averages + (1 - self._momentum) * statistics
            self._seen += 1

    def state(self) -> dict[str, Any]:
        return {"averages": self._averages, "seen": self._seen}

    def load(self, state: dict[str, Any]) -> None:
        self._averages, self._seen = state["averages"], state["seen"]


def leave_one_out(values: Tensor, samples: int) -> Tensor:
    """The mean of the other samples of the same group; values (R, G · samples).

    Raises:
        SpecError: fewer than 2 samples.
    """
    if samples < 2:
        raise SpecError(
            f"found samples = {samples}; leave-one-out (rloo, the plus estimators, centring = loo) needs samples >= 2."
        )
    grouped: Tensor = values.unflatten(-1, (-1, samples))
    return ((grouped.sum(-1, keepdim=True) - grouped) / (samples - 1)).flatten(-2)
