"""The images of one run as tensors: training, validation and test split, normalisation, checksums.

The validation images depend on the training split and on `split_seed` only, so that all trials of a sweep are scored on
the same images. The test split is predicted and stored, but no search reads it.
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
from trainables.ensembles.config import Config
from trainables.ensembles.data.augmentation import Augmentation
from trainables.ensembles.data.foreign import foreign_images
from trainables.ensembles.data.pictures import Images, Pictures, pictures

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
        images: (n, channels, size, size) uint8 on the run's device, or pictures that are decoded when needed.
        labels: (n,) int64 on the run's device.
        index: (n,) int64, the images' rows in their table.
    """

    images: Images
    labels: Tensor
    index: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def digest(self) -> str:
        """sha256 over row numbers and labels, in order; predictions with different digests must not be mixed."""
        content = torch.stack([self.index.cpu(), self.labels.cpu()]).numpy().astype("<i8").tobytes()
        return hashlib.sha256(content).hexdigest()


@dataclass(frozen=True)
class ImageData:
    """The three splits, and the facts that they share.

    Args:
        pixels: shape and normalisation of an image.
        classes: number of classes.
        augmentation: of the training images.
        train: the images to train on.
        scored: "val" and "test", in this order.
        foreign: images of another kind, with label -1; None if none are predicted.
    """

    pixels: Pixels
    classes: int
    augmentation: Augmentation
    train: Split
    scored: Mapping[str, Split]
    foreign: Split | None = None

    @property
    def predicted(self) -> Mapping[str, Split]:
        """All splits that members predict, by name."""
        return self.scored if self.foreign is None else {**self.scored, "foreign": self.foreign}

    def normalise(self, batch: Images) -> Tensor:
        """uint8 images to float32, channel by channel (x/255 - mean)/std; the same constants for every method."""
        return normalise(batch.decode() if isinstance(batch, Pictures) else batch, self.pixels)


def prepare(
    config: Config,
    tables: Mapping[str, pa.Table],
    device: torch.device,
    foreign: Mapping[str, pa.Table] | None = None,
) -> ImageData:
    """Decode the tables and separate the validation images from the training split.

    Args:
        tables: splits of `config.dataset`.
        device: of the images.
        foreign: splits of `config.foreign`; None if that is "none".

    Raises:
        DataError: a split is missing, or too few images are left in one.
    """
    pixels = describe(config.dataset).pixels
    assert pixels is not None  # `dataset` allows image sets only
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
    others = None
    if foreign is not None:
        pictures = foreign_images(config.foreign, foreign, pixels)
        rows = shuffled(len(pictures), min(len(pictures), len(scored["test"])), config.split_seed)
        others = part(pictures, torch.full((len(pictures),), -1), rows)
    train = part(train_images, train_labels, order[held_out:])
    require_labels(config.dataset, {"train": train, **scored}, classes := classes_of(tables["train"]))
    return ImageData(pixels, classes, AUGMENTATION[config.dataset.split("-")[0]], train, scored, others)


def require_labels(dataset: str, splits: Mapping[str, Split], classes: int) -> None:
    """Raise DataError if a label is not one of the classes."""
    for name, one in splits.items():
        if (largest := int(one.labels.max())) >= classes:
            raise DataError(f"{dataset}, {name}: found label {largest}, but its classes are 0 to {classes - 1}.")


def classes_of(table: pa.Table) -> int:
    """The number of classes in a table's metadata; the network has one logit per class."""
    return len((table.schema.metadata or {})[b"classes"].split(b","))


def unseen_classes(data: ImageData) -> str | None:
    """A warning if the training images lack a class, which would dominate every score; None if they have all."""
    missing = (torch.bincount(data.train.labels, minlength=data.classes) == 0).nonzero().flatten().tolist()
    if not missing:
        return None
    return (
        f"the {len(data.train)} training images contain no image of class {', '.join(map(str, missing))}, so every"
        " method will predict the test images of that class wrongly; raise train_images, or lower validation."
    )


def check_sizes(config: Config, rows: Mapping[str, int]) -> None:
    """Raise DataError if the splits of `config.dataset` (name -> rows) have too few images for the configuration."""
    for name, wanted in (("train", config.train_images), ("test", config.test_images)):
        if name not in rows:
            found = ", ".join(rows) or "none"
            raise DataError(
                f"{config.dataset}: split {name!r} is missing, found {found}; both train and test are required."
            )
        if wanted > rows[name]:
            raise DataError(
                f"{name}_images = {wanted}, but {config.dataset} has {rows[name]}; lower it, or use 0 for all."
            )
    _held_out(config, config.train_images or rows["train"])


def _held_out(config: Config, n: int) -> int:
    """The number of validation images among n training images."""
    held_out = round(config.validation * n)
    if held_out < 4 or n - held_out < 2:
        raise DataError(
            f"validation = {config.validation:g} of {n} training images leaves {held_out} to score and {n - held_out}"
            " to train on; at least 4 and 2 are required; change validation or train_images."
        )
    return held_out


_DECODED: list[tuple[pa.Table, Images, Tensor]] = []


def decoded(table: pa.Table, pixels: Pixels) -> tuple[Images, Tensor]:
    """A table's images and labels (n,), cached, so that a process decodes a table once for many trials.

    Pictures in files of their own are not decoded.
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
