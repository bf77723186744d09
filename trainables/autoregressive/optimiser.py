"""Adam and SGD on lists of tensors; torch.optim would import PyTorch's compiler, seconds in every process."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-8


class Optimiser:
    """Kingma, Ba 2015 ("adam"), or plain gradient descent ("sgd"); equal to torch.optim's to rounding.

    Args:
        kind: "adam" or "sgd".
    """

    def __init__(self, kind: str, parameters: Iterable[Tensor]) -> None:
        self._kind = kind
        self._parameters = [parameter for parameter in parameters if parameter.requires_grad]
        moments = self._parameters if kind == "adam" else []
        self._first = [torch.zeros_like(parameter) for parameter in moments]
        self._second = [torch.zeros_like(parameter) for parameter in moments]
        self._steps = 0

    def clear(self) -> None:
        """Forget all gradients."""
        for parameter in self._parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self, lr: float, clip: float) -> float:
        """One step along the gradient, clipped to the norm `clip`; returns its norm before clipping."""
        found = [parameter.grad if parameter.grad is not None else torch.zeros_like(parameter)
                 for parameter in self._parameters]  # fmt: skip
        norm = torch.stack(torch._foreach_norm(found)).norm()
        torch._foreach_mul_(found, (clip / (norm + 1e-6)).clamp_max(1.0))
        self._steps += 1
        if self._kind == "sgd":
            torch._foreach_add_(self._parameters, found, alpha=-lr)
            return float(norm)
        torch._foreach_lerp_(self._first, found, 1 - _BETA_1)
        torch._foreach_mul_(self._second, _BETA_2)
        torch._foreach_addcmul_(self._second, found, found, 1 - _BETA_2)
        spread = torch._foreach_sqrt(self._second)
        torch._foreach_div_(spread, (1 - _BETA_2**self._steps) ** 0.5)
        torch._foreach_add_(spread, _EPSILON)
        torch._foreach_addcdiv_(self._parameters, self._first, spread, -lr / (1 - _BETA_1**self._steps))
        return float(norm)

    def state(self) -> dict[str, Any]:
        return {"steps": self._steps, "first": self._first, "second": self._second}

    def load(self, state: dict[str, Any]) -> None:
        self._steps = state["steps"]
        for mine, theirs in ((self._first, state["first"]), (self._second, state["second"])):
            for tensor, saved in zip(mine, theirs, strict=True):
                tensor.copy_(saved)
