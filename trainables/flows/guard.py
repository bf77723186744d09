"""Which layer of a flow produces the first number that is not finite."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from trainables.flows.layers import Layer
from trainables.flows.layers.nets import Net
from trainables.flows.models.flow import SemiConditionalFlow


@torch.no_grad()
def first_non_finite(flow: SemiConditionalFlow, x: Tensor) -> str | None:
    """A clause that names the layer, or None if all densities of a batch and all weights are finite."""
    for name, value in flow.named_parameters():
        if not value.isfinite().all():
            return f"parameter {name} is not finite"
    if not x.isfinite().all():
        return f"{int((~x.isfinite()).sum())} values of the batch are not finite"
    found: list[str] = []

    def hook(name: str, module: nn.Module) -> Callable[[nn.Module, object, Tensor | tuple[Tensor, Tensor]], None]:
        def look(_: nn.Module, __: object, out: Tensor | tuple[Tensor, Tensor]) -> None:
            parts = {"output": out} if isinstance(out, Tensor) else {"output": out[0], "log-determinant": out[1]}
            found.extend(
                f"layer {name} ({type(module).__name__}): {what} is not finite"
                for what, part in parts.items()
                if not part.isfinite().all()
            )

        return look

    watched = [(name, module) for name, module in flow.named_modules() if isinstance(module, Layer | Net)]
    handles = [module.register_forward_hook(hook(name, module)) for name, module in watched]
    try:
        total = flow.log_marginal(x)
    finally:
        for handle in handles:
            handle.remove()
    if found:
        return found[0]
    return None if total.isfinite().all() else "the log-density is not finite although every layer is"
