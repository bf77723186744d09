"""Random augmentation of images; every draw comes from a generator that is passed in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from trainables.ensembles.data.pictures import Images, Pictures, require_decoded
from trainables.ensembles.registry import require_same_names

Augmentation = Literal["none", "shift", "crop-flip", "resized-crop"]


def shift(images: Tensor, pixels: int, generator: torch.Generator) -> Tensor:
    """Each image moved by its own whole number of pixels in [-pixels, pixels] each way; the new rim is black.

    Args:
        images: (n, channels, height, width), any dtype.
    """
    return moved(images, pixels, torch.randint(0, 2 * pixels + 1, (2, len(images)), generator=generator))


def moved(images: Tensor, pixels: int, corner: Tensor) -> Tensor:
    """Each image padded by `pixels` and cut to its old size at its own corner, (2, n) in [0, 2·pixels]."""
    rows, columns = corner.to(images.device)
    padded = functional.pad(images, (pixels,) * 4)
    cuts = padded.unfold(2, images.shape[2], 1).unfold(3, images.shape[3], 1)  # views of all possible cuts
    return cuts[torch.arange(len(images), device=images.device), :, rows, columns]


def flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each image mirrored left to right with probability 1/2."""
    return mirrored(images, torch.rand(len(images), generator=generator) < 0.5)


def mirrored(images: Tensor, which: Tensor) -> Tensor:
    """The images with those of the flags (n,) mirrored left to right."""
    return torch.where(which.to(images.device)[:, None, None, None], images.flip(-1), images)


def random_resized_crop(images: Images, generator: torch.Generator) -> Images:
    """Each picture with a fresh random cut, scaled to its size and mirrored with probability 1/2.

    Raises:
        TypeError: the images are already decoded, so that the parts outside their middle are lost.
    """
    if not isinstance(images, Pictures):
        raise TypeError("resized-crop needs pictures in files, found decoded images; choose another augmentation")
    return images.augmented(generator)


def joint(kind: Augmentation, images: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
    """The augmentation of several batches of equal length in one pass, each batch drawn from its own generator.

    Args:
        images: (batches · n, channels, height, width), batch after batch.

    Returns:
        The concatenation of `augmentation(kind)` of each batch.

    Raises:
        KeyError: pictures in files are not augmented in this way.
    """
    if kind == "none":
        return images
    n, move = len(images) // len(generators), MOVES[kind]
    corners, flips = [], []
    for generator in generators:  # in the order in which `augmentation` draws
        corners.append(torch.randint(0, 2 * move.pixels + 1, (2, n), generator=generator))
        if move.mirrors:
            flips.append(torch.rand(n, generator=generator) < 0.5)
    cut = moved(images, move.pixels, torch.cat(corners, dim=1))
    return mirrored(cut, torch.cat(flips)) if flips else cut


@dataclass(frozen=True)
class Move:
    """An augmentation of decoded images: moves by up to `pixels` each way, and perhaps mirrors half of the images."""

    pixels: int
    mirrors: bool

    def __call__(self, images: Images, generator: torch.Generator) -> Images:
        """The augmented images, of the same shape."""
        found = shift(require_decoded(images), self.pixels, generator)
        return flip(found, generator) if self.mirrors else found


def unchanged(images: Images, generator: torch.Generator) -> Images:
    """The images themselves; nothing is drawn."""
    return images


MOVES: dict[Augmentation, Move] = {"shift": Move(2, mirrors=False), "crop-flip": Move(4, mirrors=True)}
AUGMENTATIONS: dict[Augmentation, Callable[[Images, torch.Generator], Images]] = {
    "none": unchanged,
    **MOVES,
    "resized-crop": random_resized_crop,
}
require_same_names("augmentation", Augmentation, AUGMENTATIONS)


def augmentation(kind: Augmentation) -> Callable[[Images, torch.Generator], Images]:
    """The augmentation of that name, a function (images, generator) -> images.

    "shift" moves by up to 2 pixels; "crop-flip" pads by 4, cuts and mirrors; "resized-crop", for pictures in files,
    cuts 8 to 100 % of the area, scales that to the network's input and mirrors.
    """
    return AUGMENTATIONS[kind]
