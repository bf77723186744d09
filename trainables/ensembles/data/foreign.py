"""Images of another kind in the shape of the training images, for out-of-distribution detection."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor
from torch.nn import functional

from raybayes.data import Pixels, describe
from raybayes.data.images import images
from raybayes.errors import DataError

LETTER = (16, 8)  # height and width of a handwritten letter, one bit per pixel


def foreign_images(name: str, tables: Mapping[str, pa.Table], pixels: Pixels) -> Tensor:
    """All test images of a data set, in the channels and size of another: (n, channels, height, width) uint8.

    Small images get a black border, large ones are cut to their middle; grey becomes three equal channels, colours
    become their mean. Letters are first scaled to the 20 pixels of a digit.

    Raises:
        DataError: the tables have no test images.
    """
    if name.startswith("letters"):
        found = letters(pa.concat_tables(tables.values()))
    elif "test" in tables:
        own = describe(name).pixels
        assert own is not None  # `foreign` allows image sets only
        found, _ = images(tables["test"], own.channels, own.height)
    else:
        raise DataError(
            f"{name}: split 'test' is missing, found {', '.join(tables)}; foreign images are taken from it."
        )
    if found.shape[1] != pixels.channels:
        grey = found.float().mean(1, keepdim=True).round().to(torch.uint8)
        found = grey.expand(-1, pixels.channels, -1, -1)
    left = (pixels.width - found.shape[3]) // 2
    top = (pixels.height - found.shape[2]) // 2
    right, bottom = pixels.width - found.shape[3] - left, pixels.height - found.shape[2] - top
    return functional.pad(found, (left, right, top, bottom)).contiguous()  # negative padding cuts


def letters(table: pa.Table) -> Tensor:
    """Every letter of every word as an image, (n, 1, 20, 20) uint8."""
    bits = np.unpackbits(np.frombuffer(b"".join(table["images"].to_pylist()), np.uint8)).reshape(-1, 1, *LETTER)
    square = functional.pad(torch.from_numpy(bits).float() * 255, (4, 4))
    return functional.interpolate(square, size=(20, 20), mode="bilinear", antialias=True).round().to(torch.uint8)
