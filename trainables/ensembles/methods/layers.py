"""Finding and replacing the weight layers of a network."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

Weighted = nn.Conv2d | nn.Linear


def weight_layers(model: nn.Module) -> dict[str, nn.Conv2d | nn.Linear]:
    """All convolutions and linear layers by dotted name, in the order of construction."""
    return {name: module for name, module in model.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)}


def head_of(model: nn.Module) -> nn.Linear:
    """The last linear layer, which every architecture calls `head`."""
    head = model.get_submodule("head")
    assert isinstance(head, nn.Linear)
    return head


def replace_layers(model: nn.Module, change: Callable[[str, nn.Module], nn.Module | None]) -> None:
    """Put `change(name, layer)` in the place of each innermost layer for which it is not None."""
    for name, module in list(model.named_modules()):
        if any(True for _ in module.children()) or (new := change(name, module)) is None:
            continue
        parent, _, attribute = name.rpartition(".")
        setattr(model.get_submodule(parent), attribute, new)
