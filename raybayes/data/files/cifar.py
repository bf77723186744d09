"""The original batches of CIFAR-10 and CIFAR-100 in the folder layout that torchvision uses."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa

from raybayes.data.files.mnist import raw_images
from raybayes.data.files.pickles import load_arrays
from raybayes.data.files.tables import conform, labelled
from raybayes.data.records import DataSet, File
from raybayes.errors import DataError

FOLDER = "cifar-10-batches-py"
FOLDER100 = "cifar-100-python"
_BYTES = 3 * 32 * 32


def read_batches(dataset: DataSet, paths: Mapping[str, Path]) -> dict[str, pa.Table]:
    """The two splits, from pickles that are opened only if their MD5 is the published one.

    `image` is 3072 bytes: the red, the green, then the blue channel, each 32 x 32 row by row.
    """
    tables = {}
    for split in dataset.splits:
        batches = [_batch(dataset.name, file, paths[file.path]) for file in dataset.files if file.split == split]
        pixels = np.concatenate([pixels for pixels, _ in batches])
        table = pa.table(
            {
                "index": np.arange(len(pixels), dtype=np.int32),
                "label": np.concatenate([labels for _, labels in batches]),
                "image": raw_images(pixels),
            }
        )
        tables[split] = labelled(conform(table, dataset.columns, f"the {split} batches"), dataset)
    return tables


def _batch(name: str, file: File, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """((n, 3072) unsigned bytes, (n,) labels) of one batch file."""
    content = path.read_bytes()
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != file.md5:
        raise DataError(
            f"{path}: has MD5 {found}, the published batch has {file.md5}; it is not opened, because a pickle of "
            "unknown origin can run any code; delete it and run `raybayes data fetch {name}`."
        )
    batch = load_arrays(content, str(path))
    key = "fine_labels" if path.parent.name == FOLDER100 else "labels"
    if not isinstance(batch, dict) or not {"data", key} <= batch.keys():
        raise DataError(f"{path}: is not a dictionary with `data` and `{key}`; fetch it again.")
    pixels, labels = np.asarray(batch["data"]), np.asarray(batch[key])
    if pixels.dtype != np.uint8 or pixels.shape != (len(labels), _BYTES):
        raise DataError(f"{path}: `data` is {pixels.dtype} {pixels.shape}, wanted uint8 ({len(labels)}, {_BYTES}).")
    return pixels, labels
