"""A user's own Parquet file: pictures (column image, jpeg or png) or vectors, with a column `label` that may have gaps.

Vectors are one list column `features`, or all numeric columns but `label`, `index` and `split`. Splits train and test
(column `split`) are used where they are; otherwise a fifth of the rows, chosen by `split_seed`, is the test split.
"""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from PIL import Image
from torch import Tensor

from raybayes.data.images import images
from raybayes.errors import DataError
from trainables.flows.config import TRUNKS, Config

_PICTURES = ("image", "jpeg", "png")
_NOT_FEATURES = ("label", "index", "split")


def own_examples(config: Config, tables: Mapping[str, pa.Table]) -> tuple[Tensor, Tensor, Tensor, Tensor, int]:
    """Training and test examples, raw, with labels (-1: none), and the number of classes.

    Raises:
        DataError: a column is missing or of a wrong kind, or the preset is for the other layout.
    """
    where = config.dataset
    parts = _parts(where, tables)
    pictures = [name for name in _PICTURES if name in parts[0].column_names]
    vectors_only = not TRUNKS[config.trunk.kind].pictures
    if pictures and vectors_only and not config.pca:
        raise DataError(f"{where}: column {pictures[0]!r} holds pictures, but preset = {config.preset} is for vectors;"
                        f" use preset = cpu or another for pictures, or set pca.")  # fmt: skip
    every = [_labels(table, where) for table in parts]
    largest = int(torch.cat([*every, torch.tensor([-1])]).max())
    if largest < 0:
        raise DataError(f"{where}: column 'label' is empty in every row; label some examples of each class.")
    classes = 1 + largest if config.classes is None else config.classes
    read = _pictures if pictures else _vectors
    examples = [read(table, where) for table in parts]
    if len(parts) == 1:  # divided only now, so that messages count the rows of the file
        (raw,), (labels,) = examples, every
        kept, test = _divided(labels, config.split_seed)
        return raw[kept], labels[kept], raw[test], labels[test], classes
    (raw, test_raw), (labels, test_labels) = examples, every
    if raw.shape[1:] != test_raw.shape[1:]:
        raise DataError(
            f"{where}: train has examples of shape {tuple(raw.shape[1:])}, test {tuple(test_raw.shape[1:])}."
        )
    return raw, labels, test_raw, test_labels, classes


def _parts(where: str, tables: Mapping[str, pa.Table]) -> list[pa.Table]:
    """Train and test, or one table of both."""
    if "train" in tables and "test" in tables:
        return [tables["train"], tables["test"]]
    if len(tables) > 1:
        raise DataError(f"{where}: found splits {', '.join(tables)}; name two of them train and test.")
    return list(tables.values())


def _divided(labels: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Row numbers of train, in order, and of test: a fifth of those with a label."""
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    labelled = order[labels[order] >= 0]
    test = labelled[: len(labelled) // 5]
    kept = torch.ones(len(labels), dtype=torch.bool)
    kept[test] = False
    return kept.nonzero().flatten(), test


def _labels(table: pa.Table, where: str) -> Tensor:
    if "label" not in table.column_names:
        raise DataError(f"{where}: column 'label' is missing; found {', '.join(table.column_names)}.")
    column = table["label"]
    if not pa.types.is_integer(column.type):
        raise DataError(
            f"{where}: column 'label' has type {column.type}; it must hold integers from 0 (empty: no label)."
        )
    given = column.drop_null().to_numpy()
    if (given < 0).any():
        raise DataError(f"{where}: found label {given.min()}; labels must be 0 or more; an empty cell means no label.")
    return torch.from_numpy(pc.fill_null(column.cast(pa.int64()), -1).to_numpy().copy())


def _pictures(table: pa.Table, where: str) -> Tensor:
    column = next(name for name in _PICTURES if name in table.column_names)
    first = table[column][0].as_py() if len(table) else None
    try:
        with Image.open(io.BytesIO(first or b"")) as picture:
            (width, height), channels = picture.size, 1 if picture.mode in ("1", "L") else 3
    except OSError as error:
        raise DataError(
            f"{where}: column {column!r} does not start with a JPEG or PNG image; raw pixels do not carry their size,"
            f" so encode the pictures."
        ) from error
    known = table.select([column]).append_column("label", pa.array(np.zeros(len(table), np.int64)))
    try:
        return images(known, channels, (height, width))[0]
    except DataError as error:
        raise DataError(f"{where}: {error}") from None


def _vectors(table: pa.Table, where: str) -> Tensor:
    if "features" in table.column_names:
        rows = table["features"].to_pylist()
        lengths = {None if row is None else len(row) for row in rows}
        if len(lengths) != 1 or None in lengths:
            raise DataError(f"{where}: rows of 'features' must have one length, found {sorted(map(str, lengths))[:5]}.")
        return torch.tensor(np.asarray(rows, np.float32))
    kinds = {name: table[name].type for name in table.column_names if name not in _NOT_FEATURES}
    numeric = [name for name, kind in kinds.items() if pa.types.is_floating(kind) or pa.types.is_integer(kind)]
    if not numeric:
        raise DataError(
            f"{where}: no pictures (image, jpeg, png), no 'features' and no numeric columns; found"
            f" {', '.join(table.column_names)}."
        )
    columns = [table[name].cast(pa.float64()).to_numpy(zero_copy_only=False) for name in numeric]
    return torch.tensor(np.stack(columns, 1).astype(np.float32))
