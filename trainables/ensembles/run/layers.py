"""Find and replace the weight layers of a network."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn


def weight_layers(model: nn.Module) -> dict[str, nn.Conv2d | nn.Linear]:
    """All convolutions and linear layers by dotted name, in the order of construction."""
    return {name: module for name, module in model.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)}


def head_of(model: nn.Module) -> nn.Linear:
    """The last linear layer, which every architecture calls `head`."""
    head = model.get_submodule("head")
    assert isinstance(head, nn.Linear)
    return head


def pair(values: tuple[int, ...]) -> tuple[int, int]:
    """Two numbers, vertical and horizontal, of a two-dimensional layer."""
    vertical, horizontal = values
    return vertical, horizontal


def numeric_padding(layer: nn.Conv2d) -> tuple[int, int]:
    """The padding in pixels, vertical and horizontal.

    Raises:
        TypeError: the layer names its padding ("same", "valid"), as no architecture here does.
    """
    if isinstance(layer.padding, str):
        raise TypeError(f"padding = {layer.padding!r}: a number of pixels is needed")
    return pair(layer.padding)


def replace_layers(model: nn.Module, change: Callable[[str, nn.Module], nn.Module | None]) -> None:
    """Put `change(name, layer)` in the place of each innermost layer for which it is not None."""
    for name, module in list(model.named_modules()):
        if any(True for _ in module.children()) or (new := change(name, module)) is None:
            continue
        parent, _, attribute = name.rpartition(".")
        setattr(model.get_submodule(parent), attribute, new)
