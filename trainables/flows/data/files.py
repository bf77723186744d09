"""A user's own Parquet file: pictures (column image, jpeg or png) or a table of columns, with a column `label`.

The column `split` may say train, unlabelled (or extra), validation (or val) and test; labels of unlabelled rows are not
read. Without a test split, a fifth of each class's labelled training rows, chosen by `split_seed`, is the test split.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import torch
from PIL import Image
from torch import Tensor

from raybayes.data.images import images
from raybayes.errors import DataError
from trainables.flows.config import TRUNKS, Config
from trainables.flows.data.chosen import named_rows
from trainables.flows.data.columns import Feature, choose_features, matrix
from trainables.flows.data.labels import fifth_of_each
from trainables.flows.data.naming import class_numbers

PICTURES = ("image", "jpeg", "png")
_SPLITS = {
    "all": "train",
    "train": "train",
    "unlabelled": "unlabelled",
    "unlabeled": "unlabelled",
    "extra": "unlabelled",
    "validation": "validation",
    "val": "validation",
    "test": "test",
}
Labelled = tuple[Tensor, Tensor]  # raw examples, and their labels (-1: none)


@dataclass(frozen=True)
class Raw:
    """Examples as they are loaded.

    Args:
        train, test: examples with labels, (n, ...) and (n,), -1 where there is none.
        names: of the classes.
        val: of the file's own validation split; None: some of `train` are held out.
        features: what the values of a vector stand for; empty for pictures and points.
        dropped: why each other column of the file is not used.
        named: row numbers of `train` that the user names as the labelled ones; None: they are drawn.
        notes: sentences about what was read.
    """

    train: Labelled
    test: Labelled
    names: tuple[str, ...]
    val: Labelled | None = None
    features: tuple[Feature, ...] = ()
    dropped: Mapping[str, str] = field(default_factory=dict)
    named: Tensor | None = None
    notes: tuple[str, ...] = ()


def own_examples(config: Config, tables: Mapping[str, pa.Table]) -> Raw:
    """The examples of a user's file.

    Raises:
        DataError: a split of another name, a column is missing or of a wrong kind, or the preset is for the other
            layout.
    """
    where = config.dataset
    parts, notes = _parts(where, tables)
    every = pa.concat_tables(parts.values(), promote_options="permissive")
    pictures = [name for name in PICTURES if name in every.column_names]
    if pictures and not TRUNKS[config.trunk.kind].pictures and not config.pca:
        raise DataError(f"{where}: column {pictures[0]!r} holds pictures, but preset = {config.preset} is for vectors;"
                        f" use preset = cpu or another for pictures, or set pca.")  # fmt: skip
    labels, names = _labels(parts, config, where)
    features, dropped = _features(every, pictures, config, where)
    examples = {
        name: read_pictures(table, where) if pictures else matrix(table, features, _at(where, name, parts))
        for name, table in parts.items()
    }
    _require_one_shape(examples, where)
    training = [name for name in ("train", "unlabelled") if name in parts]
    train = _joined([(examples[name], labels[name]) for name in training])
    named = None
    if config.labelled_rows is not None:
        rows = pa.concat_tables([parts[name] for name in training], promote_options="permissive")
        named = named_rows(config.labelled_rows, rows, where)
    val = (examples["validation"], labels["validation"]) if "validation" in parts else None
    found = Raw(train, train, names, val, features, dropped, named, notes)
    if "test" in parts:
        return replace(found, test=(examples["test"], labels["test"]))
    return _divided(found, config.split_seed, where)


def _divided(found: Raw, seed: int, where: str) -> Raw:
    """The examples with a fifth of each class's labelled training rows as the test split."""
    raw, labels = found.train
    test = fifth_of_each(labels, seed, set() if found.named is None else set(found.named.tolist()))
    if not len(test):
        raise DataError(f"{where}: no class has the 5 labelled rows that a fifth for testing takes; label more, or add"
                        f" a column split with rows of split test.")  # fmt: skip
    kept = torch.ones(len(labels), dtype=torch.bool)
    kept[test] = False
    named = None if found.named is None else torch.searchsorted(kept.nonzero().flatten(), found.named)
    note = "there is no split test: a fifth of each class's labelled rows is the test split"
    return replace(found, train=(raw[kept], labels[kept]), test=(raw[test], labels[test]), named=named,
                   notes=(*found.notes, note))  # fmt: skip


def _parts(where: str, tables: Mapping[str, pa.Table]) -> tuple[dict[str, pa.Table], tuple[str, ...]]:
    """Rows by what they are used for, and what was done with labels of unlabelled rows."""
    if unknown := [name for name in tables if name not in _SPLITS]:
        raise DataError(f"{where}: found split {unknown[0]!r}; rename it to train, unlabelled (or extra), validation"
                        f" (or val) or test.")  # fmt: skip
    parts: dict[str, pa.Table] = {}
    for name, table in tables.items():
        use = _SPLITS[name]
        parts[use] = pa.concat_tables([parts[use], table], promote_options="permissive") if use in parts else table
    if "train" not in parts:
        raise DataError(f"{where}: found splits {', '.join(tables)}; training needs rows of split train.")
    for name, table in parts.items():
        if "label" not in table.column_names:
            raise DataError(f"{where}: column 'label' is missing; found {', '.join(table.column_names)}.")
        if not len(table):
            raise DataError(f"{where}: split {name} has no rows; remove it, or add rows.")
    hidden = parts.get("unlabelled")
    known = 0 if hidden is None else len(hidden) - hidden["label"].null_count
    note = (f"{known} rows of the split unlabelled have a label, which is not used",) if known else ()
    return parts, note


def _labels(parts: Mapping[str, pa.Table], config: Config, where: str) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Class numbers by split, and the names of the classes."""
    given = [name for name in parts if name != "unlabelled"]
    numbers, names = class_numbers([parts[name]["label"] for name in given], config.classes, where)
    labels = dict(zip(given, numbers, strict=True))
    if "unlabelled" in parts:
        labels["unlabelled"] = torch.full((len(parts["unlabelled"]),), -1)
    return labels, names


def _features(
    every: pa.Table, pictures: list[str], config: Config, where: str
) -> tuple[tuple[Feature, ...], dict[str, str]]:
    if not pictures:
        mark = config.labelled_rows if config.labelled_rows in every.column_names else None
        rest = every if mark is None else every.drop_columns([mark])
        features, dropped = choose_features(rest, config.columns, config.ignore, where)
        if mark is not None:
            dropped[mark] = "says which rows are labelled"
        discrete = [feature.name for feature in features if feature.discrete]
        if discrete and not config.input_noise:
            raise DataError(f"{where}: column {discrete[0]!r} takes few values, so without noise its density has no"
                            f" maximum; set input_noise above 0, or ignore it.")  # fmt: skip
        return features, dropped
    if config.columns or config.ignore:
        raise DataError(f"{where}: columns and ignore choose among columns of numbers, but this file has pictures"
                        f" (column {pictures[0]!r}); leave them out.")  # fmt: skip
    others = (name for name in every.column_names if name not in ("label", pictures[0]))
    return (), {name: "beside the pictures" for name in others}


def _at(where: str, name: str, parts: Mapping[str, pa.Table]) -> str:
    """Where a row number counts from."""
    return where if len(parts) == 1 else f"{where}, {name}"


def _joined(parts: list[Labelled]) -> Labelled:
    return torch.cat([raw for raw, _ in parts]), torch.cat([labels for _, labels in parts])


def _require_one_shape(examples: Mapping[str, Tensor], where: str) -> None:
    wanted = tuple(examples["train"].shape[1:])
    for name, found in examples.items():
        if tuple(found.shape[1:]) != wanted:
            raise DataError(f"{where}: train has examples of shape {wanted}, {name} {tuple(found.shape[1:])}.")


def read_pictures(table: pa.Table, where: str) -> Tensor:
    """Encoded pictures of one size, (n, channels, height, width) uint8. DataError names the row that is none."""
    column = next(name for name in PICTURES if name in table.column_names)
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
