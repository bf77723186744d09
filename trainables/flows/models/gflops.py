"""What a training step costs, counted on one example."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

# Private: torch offers no public way to see operations below autograd. Checked on torch 2.14.1; a test counts by hand.
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from trainables.flows.config import Shape
from trainables.flows.models.flow import SemiConditionalFlow


def gflops(flow: SemiConditionalFlow, shape: Shape) -> float:
    """10^9 floating-point operations per example and training step: the marginal forward, and twice that backward.

    What a batch needs only once (assembling the mixing matrices) is not counted.
    """

    def counted(n: int) -> int:
        counter = _Operations()
        with torch.no_grad(), counter:
            flow.log_marginal(torch.full((n, *shape), 0.5, device=flow.log_prior.device))
        return counter.total

    return 3 * (counted(2) - counted(1)) / 1e9


class _Operations(TorchDispatchMode):
    """Counts by torch's own formulas; torch's FlopCounterMode cannot, where a forward pass takes gradients (ode)."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch has no annotation here
        self.total: int = 0

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if (formula := flop_registry.get(func.overloadpacket)) is not None:
            self.total += formula(*args, **kwargs, out_val=out)
        return out
