"""Pictures in one folder per class, the layout of torchvision's `ImageFolder`. They stay in their files: see `path`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa

from raybayes.data.files.tables import conform
from raybayes.data.records import DataSet
from raybayes.errors import DataError

ENDINGS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")  # torchvision's


def read_folders(dataset: DataSet, paths: Mapping[str, Path]) -> dict[str, pa.Table]:
    """One row per picture, classes and pictures sorted by name: columns index, label, path.

    `path` is relative to the split's folder, which is in the schema's metadata as "root"; "classes" there has the names
    of the classes, comma-separated.

    Raises:
        DataError: a split has no class folder, no picture, or other classes than the first split.
    """
    tables: dict[str, pa.Table] = {}
    known: list[str] = []
    for file in dataset.files:
        root = paths[file.path]
        classes = sorted(entry.name for entry in os.scandir(root) if entry.is_dir())
        if not classes:
            raise DataError(f"{root} has no folders; it needs one folder per class, with the pictures of that class.")
        if known and classes != known:
            odd = sorted(set(classes) ^ set(known))
            raise DataError(
                f"{root} has {len(classes)} classes and the first split {len(known)}; {odd[0]!r} is in only one"
                " of them; give both the same class folders."
            )
        known = known or classes
        found = [[f"{name}/{picture}" for picture in _pictures(root / name)] for name in classes]
        labels = np.repeat(np.arange(len(classes)), [len(one) for one in found])
        if not len(labels):
            raise DataError(f"{root}: its class folders have no pictures; expected files with {', '.join(ENDINGS)}.")
        table = pa.table({
            "index": np.arange(len(labels), dtype=np.int32),
            "label": labels.astype(np.int16),
            "path": pa.array([path for one in found for path in one], pa.string()),
        })  # fmt: skip
        facts = {"root": str(root), "classes": ",".join(classes)}
        tables[file.split or file.path] = conform(table, dataset.columns, root).replace_schema_metadata(facts)
    return tables


def _pictures(folder: Path) -> list[str]:
    """Paths below a class folder, sub-folders included, as torchvision finds them."""
    return sorted(
        str(Path(place, name).relative_to(folder))
        for place, _, names in os.walk(folder, followlinks=True)
        for name in names
        if name.lower().endswith(ENDINGS)
    )
