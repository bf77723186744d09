"""The images of one run as tensors: training, validation and test split, normalisation, checksums.

The validation images are drawn from the training split by `split_seed` alone, so that all trials of a sweep are scored
on the same images; the test split is predicted and stored, but no search reads it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
import torch
from torch import Tensor

from raybayes.data import Pixels, describe
from raybayes.data.images import images, normalise
from raybayes.errors import DataError
from trainables.ensembles.augmentation import Augmentation
from trainables.ensembles.config.values import Config
from trainables.ensembles.foreign import foreign_images
from trainables.ensembles.pictures import Images, Pictures, pictures

AUGMENTATION: dict[str, Augmentation] = {  # by the data set's first word
    "mnist": "shift",
    "cifar10": "crop-flip",
    "cifar100": "crop-flip",
    "imagenet": "resized-crop",
}


@dataclass(frozen=True)
class Split:
    """Images with their labels.

    Args:
        images: (n, channels, size, size) uint8, on the device of the run; or pictures that are decoded when needed.
        labels: (n,) int64, on the device of the run.
        index: (n,) int64, rows of the table that the images came from.
    """

    images: Images
    labels: Tensor
    index: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def digest(self) -> str:
        """sha256 over row numbers and labels, in order: predictions with unequal digests must not be mixed."""
        content = torch.stack([self.index.cpu(), self.labels.cpu()]).numpy().astype("<i8").tobytes()
        return hashlib.sha256(content).hexdigest()


@dataclass(frozen=True)
class ImageData:
    """The three splits and what is known about them."""

    pixels: Pixels
    classes: int
    augmentation: Augmentation
    train: Split
    scored: Mapping[str, Split]  # "val" and "test", in this order
    foreign: Split | None = None  # images of another kind, with label -1

    @property
    def predicted(self) -> Mapping[str, Split]:
        """All splits that members predict."""
        return self.scored if self.foreign is None else {**self.scored, "foreign": self.foreign}

    def normalise(self, batch: Images) -> Tensor:
        """uint8 images to float32, channel by channel (x/255 - mean)/std; the same constants under every method."""
        return normalise(batch.decode() if isinstance(batch, Pictures) else batch, self.pixels)


def prepare(
    config: Config,
    tables: Mapping[str, pa.Table],
    device: torch.device,
    foreign: Mapping[str, pa.Table] | None = None,
) -> ImageData:
    """Decode the tables and hold the validation images out of the training split.

    Args:
        tables: splits of `config.dataset`.
        device: where the images shall lie.
        foreign: splits of `config.foreign`, if there is one.

    Raises:
        DataError: a split is missing, or too few images are left in one.
    """
    pixels = describe(config.dataset).pixels
    assert pixels is not None  # Config names image sets only
    check_sizes(config, {name: len(table) for name, table in tables.items()})
    train_images, train_labels = decoded(tables["train"], pixels)
    test_images, test_labels = decoded(tables["test"], pixels)

    def part(all_images: Images, labels: Tensor, rows: Tensor) -> Split:
        rows = rows.sort().values
        return Split(all_images[rows].to(device), labels[rows].to(device), rows)

    order = shuffled(len(train_labels), config.train_images, config.split_seed)
    held_out = _held_out(config, len(order))
    scored = {
        "val": part(train_images, train_labels, order[:held_out]),
        "test": part(test_images, test_labels, shuffled(len(test_labels), config.test_images, config.split_seed)),
    }
    others: Split | None = None
    if foreign is not None:
        pictures = foreign_images(config.foreign, foreign, pixels)
        rows = shuffled(len(pictures), min(len(pictures), len(scored["test"])), config.split_seed)
        others = part(pictures, torch.full((len(pictures),), -1), rows)
    train = part(train_images, train_labels, order[held_out:])
    classes = classes_of(tables["train"])
    for name, one in {"train": train, **scored}.items():
        if (largest := int(one.labels.max())) >= classes:
            raise DataError(f"{config.dataset}, {name}: found label {largest}, but its classes are 0 to {classes - 1}.")
    return ImageData(pixels, classes, AUGMENTATION[config.dataset.split("-")[0]], train, scored, others)


def classes_of(table: pa.Table) -> int:
    """How many classes a table's metadata name; the network has a logit for each."""
    return len((table.schema.metadata or {})[b"classes"].split(b","))


def unseen_classes(data: ImageData) -> str | None:
    """The sentence for training images among which a class is missing: scores then measure that, and no method."""
    missing = (torch.bincount(data.train.labels, minlength=data.classes) == 0).nonzero().flatten().tolist()
    if not missing:
        return None
    return (
        f"no image of class {', '.join(map(str, missing))} is among the {len(data.train)} to train on, so its test"
        " images will be wrong under every method; raise train_images, or lower validation."
    )


def check_sizes(config: Config, rows: Mapping[str, int]) -> None:
    """DataError if the splits of `config.dataset`, by their rows, do not have the images that are wanted."""
    for name, wanted in (("train", config.train_images), ("test", config.test_images)):
        if name not in rows:
            found = ", ".join(rows) or "none"
            raise DataError(f"{config.dataset}: split {name!r} is missing, found {found}; train and test are needed.")
        if wanted > rows[name]:
            raise DataError(
                f"{name}_images = {wanted}, but {config.dataset} has {rows[name]}; lower it, or use 0 for all."
            )
    _held_out(config, config.train_images or rows["train"])


def _held_out(config: Config, n: int) -> int:
    """How many of n training images are validation images."""
    held_out = round(config.validation * n)
    if held_out < 4 or n - held_out < 2:
        raise DataError(
            f"validation = {config.validation:g} of {n} training images leaves {held_out} to score and {n - held_out}"
            " to train on; at least 4 and 2 are needed, so change validation or train_images."
        )
    return held_out


_DECODED: list[tuple[pa.Table, Images, Tensor]] = []


def decoded(table: pa.Table, pixels: Pixels) -> tuple[Images, Tensor]:
    """A table's images and labels; a process that trains many trials on the same table decodes it once.

    Pictures in files of their own stay there.
    """
    for known, stack, labels in _DECODED:
        if known is table:
            return stack, labels
    if "path" in table.column_names:
        stack, labels = pictures(table, pixels.height)
    else:
        stack, labels = images(table, pixels.channels, pixels.height)
    _DECODED[:] = [*_DECODED[-3:], (table, stack, labels)]
    return stack, labels


def shuffled(n: int, limit: int, seed: int) -> Tensor:
    """The first `limit` (0: all) of a random order of n row numbers, int64."""
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed))[: limit or n]
