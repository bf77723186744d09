"""Random augmentation of image tensors, every draw from a generator that is passed in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from trainables.ensembles.pictures import Images, Pictures

Augmentation = Literal["none", "shift", "crop-flip", "resized-crop"]


def shift(images: Tensor, pixels: int, generator: torch.Generator) -> Tensor:
    """Each image moved by its own whole number of pixels in [-pixels, pixels] each way; black comes in at the rim.

    Args:
        images: (n, channels, height, width), any dtype.
    """
    return moved(images, pixels, torch.randint(0, 2 * pixels + 1, (2, len(images)), generator=generator))


def moved(images: Tensor, pixels: int, corner: Tensor) -> Tensor:
    """Each image padded by `pixels` and cut to its old size at its own corner, (2, n) in [0, 2·pixels]."""
    rows, columns = corner.to(images.device)
    padded = functional.pad(images, (pixels,) * 4)
    cuts = padded.unfold(2, images.shape[2], 1).unfold(3, images.shape[3], 1)  # views of all that there can be
    return cuts[torch.arange(len(images), device=images.device), :, rows, columns]


def flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each image mirrored left to right with probability 1/2."""
    return mirrored(images, torch.rand(len(images), generator=generator) < 0.5)


def mirrored(images: Tensor, which: Tensor) -> Tensor:
    """The images with those of the flags (n,) mirrored left to right."""
    return torch.where(which.to(images.device)[:, None, None, None], images.flip(-1), images)


def cut_anew(images: Images, generator: torch.Generator) -> Images:
    """Each picture through a fresh random cut, scaled to its size and mirrored with probability 1/2.

    Raises:
        TypeError: the images are decoded already: what lies outside their middle is gone.
    """
    if not isinstance(images, Pictures):
        raise TypeError("resized-crop needs pictures in files, found decoded images")
    return images.augmented(generator)


def joint(kind: Augmentation, images: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
    """The augmentation of several batches of equal length in one pass, each batch drawn from its own generator.

    Args:
        images: (batches · n, channels, height, width), batch after batch.

    Returns:
        What `augmentation(kind)` would make of each batch, put together.
    """
    n = len(images) // len(generators)
    if kind == "none":
        return images
    pixels = 2 if kind == "shift" else 4
    corners, flips = [], []
    for generator in generators:  # in the order of the single functions
        corners.append(torch.randint(0, 2 * pixels + 1, (2, n), generator=generator))
        if kind == "crop-flip":
            flips.append(torch.rand(n, generator=generator) < 0.5)
    cut = moved(images, pixels, torch.cat(corners, dim=1))
    return mirrored(cut, torch.cat(flips)) if flips else cut


def augmentation(kind: Augmentation) -> Callable[[Images, torch.Generator], Images]:
    """The function of that name: "shift" moves by up to 2 pixels, "crop-flip" pads by 4, cuts and mirrors.

    "resized-crop", for pictures in files, cuts 8 to 100 % of the area, scales that to the network's input and mirrors.
    """
    if kind == "resized-crop":
        return cut_anew
    if kind == "shift":
        return lambda images, generator: shift(images, 2, generator)
    if kind == "crop-flip":
        return lambda images, generator: flip(shift(images, 4, generator), generator)
    return lambda images, generator: images
