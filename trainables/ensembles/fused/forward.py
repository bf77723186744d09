"""The forward pass of several equal networks at once, from their stacked weights: by vmap, or by grouped layers.

Notation: G networks, B images each, weights stacked as (G, ...).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn import functional

Engine = Literal["sequential", "vmap", "grouped"]
Stacked = Mapping[str, Tensor]
Forward = Callable[[Stacked, Tensor], Tensor]


def forward_of(model: nn.Module, engine: Engine) -> Forward:
    """A function (stacked weights, images (G, B, channels, height, width)) -> logits (G, B, classes).

    Args:
        model: one of the networks: `body`, a sequence of layers without state of their own, then `head`.
        engine: "vmap" or "grouped".

    Raises:
        TypeError: "grouped" has no grouped form of a layer.
        ValueError: the engine has no stacked forward pass.
    """
    if engine == "vmap":
        by_vmap: Forward = vmap(lambda weights, images: functional_call(model, dict(weights), (images,)))
        return by_vmap
    if engine != "grouped":
        raise ValueError(f"engine = {engine} trains one network after the other; use vmap or grouped")
    layers = [(f"body.{name}", layer) for name, layer in model.get_submodule("body").named_children()]
    layers.append(("head", model.get_submodule("head")))
    for _, layer in layers:
        if not isinstance(layer, nn.Conv2d | nn.Linear | nn.Flatten | nn.ReLU | nn.MaxPool2d | nn.Identity):
            raise TypeError(f"the engine grouped does not support {type(layer).__name__}; use the engine vmap")
    return lambda weights, images: _grouped(layers, weights, images)


def _grouped(layers: list[tuple[str, nn.Module]], weights: Stacked, images: Tensor) -> Tensor:
    """Convolutions with G groups of channels, linear layers as batched matrix products."""
    members, batch = images.shape[:2]
    x = images.transpose(0, 1).flatten(1, 2)  # (B, G·channels, height, width)
    for name, layer in layers:
        if isinstance(layer, nn.Conv2d):
            weight, bias = weights[f"{name}.weight"].flatten(0, 1), weights[f"{name}.bias"].flatten()
            groups = members * layer.groups
            x = functional.conv2d(x, weight, bias, layer.stride, layer.padding, layer.dilation, groups)
        elif isinstance(layer, nn.Flatten):
            x = x.reshape(batch, members, -1).transpose(0, 1)  # (G, B, features)
        elif isinstance(layer, nn.Linear):
            # Weight times input, in this order, so that the gradient has the layout of the weights.
            y = torch.baddbmm(weights[f"{name}.bias"][:, :, None], weights[f"{name}.weight"], x.transpose(1, 2))
            x = y.transpose(1, 2)
        else:
            x = layer(x)
    return x
