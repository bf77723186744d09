"""Random augmentation of image tensors, every draw from a generator that is passed in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Augmentation = Literal["none", "shift", "crop-flip"]


def shift(images: Tensor, pixels: int, generator: torch.Generator) -> Tensor:
    """Each image moved by its own whole number of pixels in [-pixels, pixels] each way; black comes in at the rim.

    Moving an image is the same as padding it and cutting a window of the old size at a random place.

    Args:
        images: (n, channels, height, width), any dtype.
    """
    n, channels, height, width = images.shape
    corner = torch.randint(0, 2 * pixels + 1, (2, n), generator=generator).to(images.device)
    rows = corner[0, :, None] + torch.arange(height, device=images.device)  # n × height
    columns = corner[1, :, None] + torch.arange(width, device=images.device)  # n × width
    padded = functional.pad(images, (pixels,) * 4)
    batch = torch.arange(n, device=images.device)[:, None, None, None]
    channel = torch.arange(channels, device=images.device)[None, :, None, None]
    return padded[batch, channel, rows[:, None, :, None], columns[:, None, None, :]]


def flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each image mirrored left to right with probability 1/2."""
    mirrored = torch.rand(len(images), generator=generator) < 0.5
    return torch.where(mirrored.to(images.device)[:, None, None, None], images.flip(-1), images)


def augmentation(kind: Augmentation) -> Callable[[Tensor, torch.Generator], Tensor]:
    """The function of that name: "shift" moves by up to 2 pixels, "crop-flip" pads by 4, cuts and mirrors."""
    if kind == "shift":
        return lambda images, generator: shift(images, 2, generator)
    if kind == "crop-flip":
        return lambda images, generator: flip(shift(images, 4, generator), generator)
    return lambda images, generator: images
