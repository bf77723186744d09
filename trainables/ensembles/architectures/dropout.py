"""Dropout whose masks come from a generator of the run, never from the global one."""

from __future__ import annotations

from typing import Literal, Protocol

import torch
from torch import Tensor, nn

Placement = Literal["own", "every"]


class Dropout(nn.Module):
    """Zeroes activations with probability p and scales the others by 1/(1 - p) while `active`.

    Args:
        p: probability in (0, 1).
        filterwise: whole channels of (n, channels, h, w) at a time.

    `active` is None (masks in training mode only) or True (masks at test time too: MC dropout).
    """

    def __init__(self, p: float, filterwise: bool) -> None:
        super().__init__()
        self.p = p
        self.filterwise = filterwise
        self.active: bool | None = None
        self.generator: torch.Generator | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Activations of any shape (n, ...), masked and scaled while active."""
        if not (self.training if self.active is None else self.active):
            return x
        if self.generator is None:
            raise RuntimeError("dropout has no generator; call set_noise(model, generator) before the forward pass")
        shape = (*x.shape[:2], *[1] * (x.dim() - 2)) if self.filterwise else x.shape
        keep = torch.empty(shape, device=x.device).bernoulli_(1 - self.p, generator=self.generator)
        return x * keep / (1 - self.p)

    def extra_repr(self) -> str:
        return f"p={self.p}, filterwise={self.filterwise}"


class Place(Protocol):
    """A place in an architecture where dropout may stand."""

    def __call__(self, placement: Placement, spatial: bool = False) -> nn.Module:
        """A Dropout or an identity. `own`: where the architecture's authors put it; `every`: after any other layer."""
        ...


def nowhere(placement: Placement, spatial: bool = False) -> nn.Module:
    """The Place of a network without dropout."""
    return nn.Identity()


class Rates(Protocol):
    """The dropout values of a configuration."""

    @property
    def p(self) -> float: ...
    @property
    def placement(self) -> Placement: ...
    @property
    def filterwise(self) -> bool: ...


def dropout_place(rates: Rates) -> Place:
    """The Place that puts dropout where the configuration wants it."""

    def place(placement: Placement, spatial: bool = False) -> nn.Module:
        if placement == "own" or rates.placement == "every":
            return Dropout(rates.p, rates.filterwise and spatial)
        return nn.Identity()

    return place


def set_dropout(model: nn.Module, active: bool | None) -> None:
    """Draw masks always (True), never (False), or in training mode only (None)."""
    for module in model.modules():
        if isinstance(module, Dropout):
            module.active = active


def set_noise(model: nn.Module, generator: torch.Generator) -> None:
    """Give every layer that draws random numbers in its forward pass this generator."""
    for module in model.modules():
        if hasattr(module, "generator"):
            setattr(module, "generator", generator)  # noqa: B010 - nn.Module types its attributes as tensors
