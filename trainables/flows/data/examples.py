"""The examples of one run as tensors: what is labelled, what is held out, and what the flow sees of them.

Validation and labelled examples depend on `split_seed` alone, so all trials of a sweep share them; the test split is
scored once, at the end, and no search uses it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
import torch
from torch import Tensor, nn
from torch.nn import functional

from raybayes.data import describe
from raybayes.data.images import images
from raybayes.errors import DataError
from trainables.flows.config import TOYS, Config, Shape, pixels_of, shrunk
from trainables.flows.data.files import own_examples
from trainables.flows.data.labels import check_labels, choose_labelled
from trainables.flows.data.toys import TEST_POINTS, points


class Projection(nn.Module):
    """An affine map from raw features to what the flow sees, with its (pseudo-)inverse.

    Args:
        mean: (raw,), taken off first.
        matrix: (d, raw).
        back: (raw, d).
        shape: of a raw example.
    """

    mean: Tensor
    matrix: Tensor
    back: Tensor

    def __init__(self, mean: Tensor, matrix: Tensor, back: Tensor, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        for name, value in (("mean", mean), ("matrix", matrix), ("back", back)):
            self.register_buffer(name, value.float())

    def forward(self, raw: Tensor) -> Tensor:
        """(n, *shape) to (n, d)."""
        return (raw.flatten(1).float() - self.mean) @ self.matrix.T

    def inverse(self, x: Tensor) -> Tensor:
        """(n, d) to (n, *shape): the nearest raw example."""
        return (x @ self.back.T + self.mean).view(-1, *self.shape)


@dataclass(frozen=True)
class Examples:
    """Some examples: `x` as the flow sees them (uint8 pictures or float32 vectors), `raw` as loaded, `labels`."""

    x: Tensor
    raw: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def at(self, rows: Tensor) -> Examples:
        """The examples with these row numbers."""
        return Examples(self.x[rows], self.raw[rows], self.labels[rows])


@dataclass(frozen=True)
class FlowData:
    """The data of a run.

    Args:
        train: training examples; only the labels of those in `labelled` are used.
        labelled, unlabelled: row numbers of `train`.
        val, test: scored examples.
        classes: number of classes.
        projection: from raw features to what the flow sees, if it does not see the raw ones.
    """

    train: Examples
    labelled: Tensor
    unlabelled: Tensor
    val: Examples
    test: Examples
    classes: int
    projection: Projection | None = None

    @property
    def shape(self) -> Shape:
        """Of an example as the flow sees it."""
        return tuple(self.train.x.shape[1:])

    @property
    def pictures(self) -> bool:
        """Whether the flow sees pictures of whole brightness values."""
        return self.train.x.dtype == torch.uint8

    def log_prior(self, kind: str) -> Tensor:
        """log p(y): uniform, or the frequencies of the labelled examples."""
        if kind == "uniform":
            return torch.full((self.classes,), 1 / self.classes).log()
        counts = self.train.labels[self.labelled].cpu().bincount(minlength=self.classes).float()
        return (counts / counts.sum()).log()


_FIELDS = ("dataset", "labels", "split", "split_seed", "validation", "points", "spread", "classes", "pca", "whiten",
           "shrink", "pad")  # fmt: skip
_KNOWN: list[tuple[object, tuple[object, ...], FlowData]] = []


def prepare(config: Config, tables: Mapping[str, pa.Table] | None, device: torch.device) -> FlowData:
    """The data of a run, prepared once per process for trials that share it. Raises like `fresh`."""
    key = (device, *(getattr(config, name) for name in _FIELDS))
    data = next((data for of, known, data in _KNOWN if of is tables and known == key), None)
    if data is None:
        data = fresh(config, tables, device)
        _KNOWN[:] = [(tables, key, data)]
    require_unlabelled(config, data)
    return data


def require_unlabelled(config: Config, data: FlowData) -> None:
    """DataError if batches need unlabelled examples and there are none."""
    if config.unlabelled and not len(data.unlabelled):
        raise DataError(
            f"{config.dataset}: all training examples are labelled; set labelled_share = 1, or lower labels."
        )


def fresh(config: Config, tables: Mapping[str, pa.Table] | None, device: torch.device) -> FlowData:
    """The data of a run, from its tables.

    Args:
        tables: splits of `config.dataset`; None for moons and circles.

    Raises:
        DataError: labels outside 0..K-1, a class without a labelled example, values that are not finite, constant
            columns, or too few rows; says which.
    """
    raw, labels, test_raw, test_labels, classes = _checked(config, tables)
    where = config.dataset
    rows, held_out = _without_validation(labels, config)
    projection = _projection(config, raw[rows], where)

    def seen(of: Tensor, of_labels: Tensor) -> Examples:
        x = _shrink(of, config) if projection is None else projection(of)
        return Examples(x.to(device), of.to(device), of_labels.to(device))

    train = seen(raw[rows], labels[rows])
    labelled = choose_labelled(labels[rows], config.labels, classes, config.split, config.split_seed, where)
    others = torch.ones(len(rows), dtype=torch.bool)
    others[labelled] = False
    unlabelled = others.nonzero().flatten()
    val, test = seen(raw[held_out], labels[held_out]), seen(test_raw, test_labels)
    moved = None if projection is None else projection.to(device)
    return FlowData(train, labelled.to(device), unlabelled.to(device), val, test, classes, moved)


def _checked(config: Config, tables: Mapping[str, pa.Table] | None) -> tuple[Tensor, Tensor, Tensor, Tensor, int]:
    """Training and test examples with labels that can be trained and scored on, and the number of classes."""
    raw, labels, test_raw, test_labels, classes = _raw(config, tables)
    where = config.dataset
    for of in (labels, test_labels):
        check_labels(of, classes, where)
    for of, name in ((raw, "train"), (test_raw, "test")):
        _require_finite(of, f"{where}, {name}")
    if (test_labels < 0).any():
        raise DataError(f"{where}, test: {int((test_labels < 0).sum())} rows have no label; every test row needs one.")
    return raw, labels, test_raw, test_labels, classes


def _without_validation(labels: Tensor, config: Config) -> tuple[Tensor, Tensor]:
    """Row numbers to train on and to validate on, both in order; only labelled rows validate."""
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(config.split_seed))
    scorable = order[labels[order] >= 0]
    if len(scorable) <= config.validation or len(labels) - config.validation < 2:
        raise DataError(
            f"{config.dataset}: validation = {config.validation} of {len(scorable)} labelled training examples leaves"
            f" none for training; lower it."
        )
    held_out = scorable[: config.validation].sort().values
    kept = torch.ones(len(labels), dtype=torch.bool)
    kept[held_out] = False
    return kept.nonzero().flatten(), held_out


def _raw(config: Config, tables: Mapping[str, pa.Table] | None) -> tuple[Tensor, Tensor, Tensor, Tensor, int]:
    if config.dataset in TOYS:
        drawn = torch.Generator().manual_seed(config.split_seed)
        train = points(config.dataset, config.points + config.validation, config.spread, drawn)
        return *train, *points(config.dataset, TEST_POINTS, config.spread, drawn), 2
    assert tables is not None
    pixels = pixels_of(config.dataset)
    if pixels is None:
        return own_examples(config, tables)
    train = images(tables["train"], pixels.channels, (pixels.height, pixels.width))
    test = images(tables["test"], pixels.channels, (pixels.height, pixels.width))
    return *train, *test, config.classes or len(describe(config.dataset).classes)


def _require_finite(raw: Tensor, where: str) -> None:
    if raw.dtype == torch.uint8:
        return
    wrong = (~raw.isfinite()).flatten(1).nonzero()
    if len(wrong):
        row, column = wrong[0].tolist()
        raise DataError(
            f"{where}: row {row}, column {column} is {raw.flatten(1)[row, column].item()}; values must be finite:"
            f" replace or drop it."
        )


def _shrink(pictures: Tensor, config: Config) -> Tensor:
    """uint8 pictures with blocks averaged (rounded to whole values) and black edges added; vectors as they are."""
    if pictures.dtype != torch.uint8 or (config.shrink == 1 and not config.pad):
        return pictures
    shrunk(tuple(pictures.shape[1:]), config)  # refuses what the blocks do not tile
    small = pictures
    if config.shrink > 1:
        small = functional.avg_pool2d(pictures.float(), config.shrink).round().to(torch.uint8)
    return functional.pad(small, [config.pad] * 4)


def _projection(config: Config, raw: Tensor, where: str) -> Projection | None:
    """Principal components of pictures, scaled by deviation^-whiten and to a mean variance of 1; or plain scaling."""
    if config.dataset in TOYS or (raw.dtype == torch.uint8 and not config.pca):
        return None
    shape = tuple(raw.shape[1:])
    x = raw.flatten(1).double() / (255 if raw.dtype == torch.uint8 else 1)
    mean = x.mean(0)
    unit = 255.0 if raw.dtype == torch.uint8 else 1.0
    if not config.pca:
        deviation = x.std(0, correction=0)
        flat = (deviation <= 1e-9 * (1 + mean.abs())).nonzero().flatten().tolist()
        if flat:
            names = ", ".join(map(str, flat[:10]))
            raise DataError(
                f"{where}: column(s) {names} are constant, which have no density; drop them, or set pca > 0."
            )
        return Projection(mean, torch.diag(1 / deviation), torch.diag(deviation), shape)
    if config.pca > min(len(x) - 1, x.shape[1]):
        raise DataError(f"{where}: pca = {config.pca} of {len(x)} examples of {x.shape[1]} values; lower pca.")
    variance, basis = torch.linalg.eigh(torch.cov(x.T, correction=0))
    variance, basis = variance.flip(0)[: config.pca], basis.flip(1)[:, : config.pca]
    if variance[-1] <= 1e-12 * variance[0]:
        found = int((variance > 1e-12 * variance[0]).sum())
        raise DataError(f"{where}: pca = {config.pca}, but only {found} components vary; lower pca to {found}.")
    basis = (
        basis * basis.gather(0, basis.abs().argmax(0, keepdim=True)).sign()
    )  # the sign of an eigenvector is arbitrary
    scale = variance.pow(-config.whiten / 2)
    scale = scale / (variance * scale.square()).mean().sqrt()
    return Projection(mean * unit, (basis * scale).T / unit, basis / scale * unit, shape)
