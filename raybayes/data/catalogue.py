"""All data sets by name."""

from __future__ import annotations

from raybayes.data.embedded import EMBEDDED
from raybayes.data.full_images import (
    CARDS,
    CIFAR10,
    CIFAR10_LOSSLESS,
    CIFAR10_ORIGINAL,
    CIFAR100,
    IMAGENET,
    LOGOS,
    MNIST,
)
from raybayes.data.full_tables import LETTERS, LTR, MULTI30K, SACHS, SPELLING, TSP
from raybayes.data.record import DataSet
from raybayes.errors import DataError
from raybayes.wording import unknown

_FULL = (
    MNIST,
    CIFAR10,
    CIFAR10_LOSSLESS,
    CIFAR10_ORIGINAL,
    CIFAR100,
    IMAGENET,
    LETTERS,
    SPELLING,
    MULTI30K,
    SACHS,
    TSP,
    LTR,
    CARDS,
    LOGOS,
)
DATA_SETS: dict[str, DataSet] = {dataset.name: dataset for dataset in (*_FULL, *EMBEDDED)}


def names() -> tuple[str, ...]:
    """The names that `load` takes, full sets first."""
    return tuple(DATA_SETS)


def describe(name: str) -> DataSet:
    """What is declared of a data set.

    Raises:
        DataError: there is no such data set; lists all names, the nearest first.
    """
    if name in DATA_SETS:
        return DATA_SETS[name]
    raise DataError(
        f"{unknown('data set', name, DATA_SETS)} A name that ends in .parquet is the path of a file of your own."
    )
