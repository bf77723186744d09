"""From tables to tensors: the only module of `raybayes.data` that imports torch."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from PIL import Image, UnidentifiedImageError

from raybayes.data.records import Pixels
from raybayes.data.registry.catalogue import DATA_SETS, describe
from raybayes.errors import DataError

_COLUMNS = ("image", "jpeg", "png")
_ENCODED = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")  # the first bytes of a JPEG and a PNG file
_MODES = {1: "L", 3: "RGB"}  # Pillow's names
_EIGHT_BITS = ("1", "L", "P", "LA", "RGB", "RGBA", "CMYK", "YCbCr")  # modes that convert to L and RGB without clipping


def images(table: pa.Table, channels: int, size: int | tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    """The pictures and labels of a table, as tensors.

    The column is `image`, `jpeg` or `png`: either raw bytes (channel by channel, row by row), or encoded files,
    which are decoded to 1 (grey) or 3 (RGB) channels.

    Args:
        size: height and width in pixels; one number for both.

    Returns:
        images: (n, channels, height, width), uint8.
        labels: (n,), int64, from the column `label`.

    Raises:
        DataError: a column is missing or has another type, a picture cannot be decoded or has another size (with its
            row), or a label is empty.
    """
    height, width = (size, size) if isinstance(size, int) else size
    column = _picture_column(table)
    labels = _labels(table)
    if table.num_rows == 0:
        return torch.empty((0, channels, height, width), dtype=torch.uint8), labels
    if column == "image" and _is_raw(table[column]):
        return _raw(table[column], column, (channels, height, width)), labels
    return _decoded(table[column], column, (channels, height, width)), labels


def normalise(images: torch.Tensor, like: str | Pixels) -> torch.Tensor:
    """(image / 255 - mean) / std for each channel.

    Args:
        images: (..., channels, height, width), uint8.
        like: the data set whose mean and standard deviation to use, or these themselves.

    Returns:
        The same shape, float32, on the same device.

    Raises:
        DataError: the data set has no images, or has another number of channels.
    """
    pixels = describe(like).pixels if isinstance(like, str) else like
    if pixels is None:
        known = ", ".join(name for name, dataset in DATA_SETS.items() if dataset.pixels)
        raise DataError(
            f"data set {like!r} has no pixel mean and standard deviation; use one of {known}, or give Pixels."
        )
    if images.dtype != torch.uint8 or images.dim() < 3 or images.shape[-3] != pixels.channels:
        raise DataError(
            f"found images of shape {tuple(images.shape)} and type {images.dtype}; "
            f"wanted (..., {pixels.channels}, height, width) of type torch.uint8."
        )
    mean, std = (torch.tensor(values, device=images.device).view(-1, 1, 1) for values in (pixels.mean, pixels.std))
    return images.to(torch.float32).div_(255.0).sub_(mean).div_(std)


def _picture_column(table: pa.Table) -> str:
    for name in _COLUMNS:
        if name in table.column_names:
            of = table[name].type
            if not (pa.types.is_binary(of) or pa.types.is_large_binary(of) or pa.types.is_fixed_size_binary(of)):
                raise DataError(f"column {name!r} has type {of}, wanted bytes: raw pixels, or JPEG or PNG files.")
            if table[name].null_count:
                raise DataError(f"column {name!r} has {table[name].null_count} empty cells; every row needs a picture.")
            return name
    found = ", ".join(table.column_names)
    raise DataError(f"no column holds pictures; found {found}; wanted one of {', '.join(_COLUMNS)}.")


def _labels(table: pa.Table) -> torch.Tensor:
    if "label" not in table.column_names:
        raise DataError(f"column 'label' is missing; found {', '.join(table.column_names)}.")
    labels = table["label"]
    if not pa.types.is_integer(labels.type) or labels.null_count:
        raise DataError(
            f"column 'label' has type {labels.type} and {labels.null_count} empty cells; "
            "wanted an integer in every row."
        )
    return torch.from_numpy(labels.to_numpy().astype(np.int64))


def _is_raw(column: pa.ChunkedArray) -> bool:
    return pa.types.is_fixed_size_binary(column.type) or not column[0].as_py().startswith(_ENCODED)


def _times(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _raw(column: pa.ChunkedArray, name: str, shape: tuple[int, int, int]) -> torch.Tensor:
    lengths = pc.binary_length(column.cast(pa.large_binary())).to_numpy()
    wanted = shape[0] * shape[1] * shape[2]
    if (lengths != wanted).any():
        row = int((lengths != wanted).argmax())
        raise DataError(
            f"column {name!r}, row {row}: found {lengths[row]} bytes of pixels, wanted {_times(shape)} = {wanted}."
        )
    pixels = torch.empty((len(column), wanted), dtype=torch.uint8)
    start = 0
    for chunk in column.cast(pa.binary(wanted)).chunks:
        values = np.frombuffer(chunk.buffers()[1], np.uint8).reshape(-1, wanted)[chunk.offset :][: len(chunk)]
        pixels[start : start + len(chunk)] = torch.from_numpy(values.copy())
        start += len(chunk)
    return pixels.view(-1, *shape)


def _decoded(column: pa.ChunkedArray, name: str, shape: tuple[int, int, int]) -> torch.Tensor:
    if shape[0] not in _MODES:
        raise DataError(
            f"column {name!r} holds encoded pictures; they decode to 1 (grey) or 3 (RGB) channels, not to {shape[0]}."
        )
    pixels = torch.empty((len(column), *shape), dtype=torch.uint8)
    for row, value in enumerate(column):
        try:
            picture = _decode(value.as_py(), _MODES[shape[0]])
        # Pillow's decoders raise many errors for damaged files.
        except (OSError, SyntaxError, ValueError, IndexError, struct.error, Image.DecompressionBombError) as error:
            # Pillow's own text has only a memory address.
            reason = "unknown format" if isinstance(error, UnidentifiedImageError) else error
            raise DataError(
                f"column {name!r}, row {row}: the picture cannot be decoded ({reason}); replace it with a JPEG or PNG."
            ) from error
        if picture.shape != shape:
            raise DataError(
                f"column {name!r}, row {row}: found a picture of {_times(picture.shape)}, wanted {_times(shape)}; "
                "resize it, or request its own size."
            )
        pixels[row] = torch.from_numpy(picture)
    return pixels


def _decode(file: bytes, mode: str) -> np.ndarray:
    """(channels, height, width), unsigned bytes."""
    with Image.open(io.BytesIO(file), formats=("JPEG", "PNG")) as picture:
        if picture.mode not in _EIGHT_BITS:
            raise ValueError(f"its mode is {picture.mode}, more than 8 bits per channel")
        pixels = np.array(picture.convert(mode))
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))
