"""The IDX files of MNIST, plain or gzip'd, in the folder layout that torchvision uses."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa

from raybayes.data.files.tables import conform, labelled
from raybayes.data.records import DataSet
from raybayes.errors import DataError

FILES = {  # split: (images, labels)
    "train": ("MNIST/raw/train-images-idx3-ubyte", "MNIST/raw/train-labels-idx1-ubyte"),
    "test": ("MNIST/raw/t10k-images-idx3-ubyte", "MNIST/raw/t10k-labels-idx1-ubyte"),
}
_UNSIGNED_BYTE = 0x08


def read_idx(path: Path) -> np.ndarray:
    """The array of an IDX file of unsigned bytes; ".gz" files are decompressed.

    The format: two zero bytes, the type (0x08), the number of dimensions, each dimension as a big-endian 32-bit
    integer, then the values in row-major order (Y. LeCun, C. Cortes, C. Burges, the MNIST database).

    Raises:
        DataError: the file cannot be read, has another type, or is shorter or longer than its header says.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error}); fetch the file again.") from error
    if len(content) < 4 or content[:3] != bytes([0, 0, _UNSIGNED_BYTE]) or len(content) < 4 + 4 * content[3]:
        raise DataError(
            f"{path}: is not an IDX file of bytes; its first bytes are {content[:4].hex(' ') or 'missing'}, wanted "
            "00 00 08 and the number of dimensions; fetch the file again."
        )
    shape = struct.unpack_from(f">{content[3]}I", content, 4)
    values = content[4 + 4 * content[3] :]
    if len(values) != math.prod(shape):
        raise DataError(
            f"{path}: its header says {' x '.join(map(str, shape))} = {math.prod(shape)} values, found {len(values)}; "
            "fetch the file again."
        )
    return np.frombuffer(values, np.uint8).reshape(shape)


def read_mnist(dataset: DataSet, paths: Mapping[str, Path]) -> dict[str, pa.Table]:
    """MNIST's two splits from its four IDX files."""
    tables = {}
    for split, (image_file, label_file) in FILES.items():
        images, labels = read_idx(paths[image_file]), read_idx(paths[label_file])
        if images.ndim != 3 or images.shape[1:] != (28, 28):
            raise DataError(f"{paths[image_file]}: holds an array of shape {images.shape}, wanted (images, 28, 28).")
        if labels.shape != images.shape[:1]:
            raise DataError(
                f"{paths[label_file]}: holds labels of shape {labels.shape} for {len(images)} images of "
                f"{paths[image_file].name}; fetch both files again."
            )
        table = pa.table(
            {
                "index": np.arange(len(images), dtype=np.int32),
                "label": labels,
                "image": raw_images(images),
            }
        )
        tables[split] = labelled(conform(table, dataset.columns, paths[label_file]), dataset)
    return tables


def raw_images(pixels: np.ndarray) -> pa.Array:
    """(n, ...) unsigned bytes as n fixed-size binary values."""
    flat = np.ascontiguousarray(pixels, np.uint8).reshape(len(pixels), -1)
    buffers = [None, pa.py_buffer(flat.tobytes())]
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(flat.shape[1]), len(flat), buffers)
