"""Adam without torch.optim.

torch.optim imports PyTorch's compiler (three seconds) with its first optimiser, and its step takes longer than a whole
gradient estimate on eight items; a search starts hundreds of short trials.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

BETA1, BETA2, EPS = 0.9, 0.999, 1e-8


class Adam:
    """theta <- theta - lr m̂ / (sqrt(v̂) + eps), with the moments' usual corrections for their start at zero.

    Args:
        parameters: changed in place, by their `.grad`.
        weight_decay: L2 penalty, added to the gradient.
        ages: give each row a count of steps of its own, so that `forget` can begin a row anew.

    References:
        Kingma, Ba, Adam: a method for stochastic optimization, ICLR 2015, arXiv 1412.6980, algorithm 1.
    """

    def __init__(self, parameters: list[Tensor], weight_decay: float = 0.0, ages: bool = False) -> None:
        self._parameters, self._decay = parameters, weight_decay
        self._first = [torch.zeros_like(parameter) for parameter in parameters]
        self._second = [torch.zeros_like(parameter) for parameter in parameters]
        self._steps: int | Tensor = 0
        if ages:
            self._steps = torch.zeros(len(parameters[0]), dtype=parameters[0].dtype, device=parameters[0].device)

    @torch.no_grad()
    def step(self, gradients: list[Tensor], lr: float | Tensor) -> None:
        """One step along `gradients`, shaped as the parameters; `lr` is one number, or one for each row, (rows,)."""
        self._steps = self._steps + 1
        if self._decay:
            gradients = list(torch._foreach_add(gradients, self._parameters, alpha=self._decay))
        torch._foreach_lerp_(self._first, gradients, 1 - BETA1)
        torch._foreach_mul_(self._second, BETA2)
        torch._foreach_addcmul_(self._second, gradients, gradients, 1 - BETA2)
        scale = list(torch._foreach_sqrt(self._second))
        shrunk = 1 - BETA2**self._steps
        if isinstance(shrunk, Tensor):
            scale = [s / shrunk.sqrt().reshape(-1, *[1] * (s.ndim - 1)) for s in scale]
        else:
            torch._foreach_div_(scale, math.sqrt(shrunk))
        torch._foreach_add_(scale, EPS)
        rate = -lr / (1 - BETA1**self._steps)
        if isinstance(rate, Tensor):
            scale = [s / rate.reshape(-1, *[1] * (s.ndim - 1)) for s in scale]
            rate = 1.0
        torch._foreach_addcdiv_(self._parameters, self._first, scale, rate)

    @torch.no_grad()
    def forget(self, rows: Tensor) -> None:
        """Begin these rows anew; needs `ages`."""
        assert isinstance(self._steps, Tensor)
        for moment in (*self._first, *self._second, self._steps):
            moment[rows] = 0.0

    def state(self) -> dict[str, Any]:
        return {
            "first": [moment.clone() for moment in self._first],
            "second": [moment.clone() for moment in self._second],
            "steps": self._steps.clone() if isinstance(self._steps, Tensor) else self._steps,
        }

    def load(self, state: dict[str, Any]) -> None:
        """The inverse of `state`."""
        self._first = [moment.clone() for moment in state["first"]]
        self._second = [moment.clone() for moment in state["second"]]
        self._steps = state["steps"].clone() if isinstance(state["steps"], Tensor) else state["steps"]
