"""The examples of one run as tensors: what is labelled, what is held out, and what the flow sees of them.

Validation and labelled examples depend on `split_seed` alone, so all trials of a sweep share them; the test split is
scored once, at the end, and no search uses it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa
import torch
from torch import Tensor
from torch.nn import functional

from raybayes.data import describe
from raybayes.data.images import images
from raybayes.errors import DataError
from trainables.flows.config import TOYS, Config, Shape, pixels_of, shrunk
from trainables.flows.data.chosen import named_rows
from trainables.flows.data.columns import Feature
from trainables.flows.data.files import Labelled, Raw, own_examples
from trainables.flows.data.labels import check_labels, choose_labelled, fifth_of_each, imbalance_note
from trainables.flows.data.projection import Projection, make_projection
from trainables.flows.data.toys import TEST_POINTS, points


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
        names: of the classes.
        features: what the values of a vector stand for; empty for pictures and points.
        dropped: why each other column of a user's file is not used.
        notes: sentences about what was read.
        projection: from raw features to what the flow sees, if it does not see the raw ones.
    """

    train: Examples
    labelled: Tensor
    unlabelled: Tensor
    val: Examples
    test: Examples
    names: tuple[str, ...]
    features: tuple[Feature, ...] = ()
    dropped: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    projection: Projection | None = None

    @property
    def classes(self) -> int:
        return len(self.names)

    @property
    def shape(self) -> Shape:
        """Of an example as the flow sees it."""
        return tuple(self.train.x.shape[1:])

    @property
    def pictures(self) -> bool:
        """Whether the flow sees pictures of whole brightness values."""
        return self.train.x.dtype == torch.uint8

    def log_prior(self, config: Config) -> Tensor:
        """log p(y): uniform, given, or the frequencies of the labelled examples. DataError if one is not given."""
        if config.prior == "uniform":
            return torch.full((self.classes,), 1 / self.classes).log()
        if config.prior == "given":
            if len(config.prior_given) != self.classes:
                raise DataError(f"{config.dataset}: prior_given has {len(config.prior_given)} values; the classes are"
                                f" {', '.join(self.names)}, each needs one.")  # fmt: skip
            return torch.tensor(config.prior_given).log()
        counts = self.train.labels[self.labelled].cpu().bincount(minlength=self.classes).float()
        return (counts / counts.sum()).log()


_FIELDS = ("dataset", "labels", "labelled_rows", "split", "split_seed", "validation", "points", "spread", "classes",
           "columns", "ignore", "pca", "whiten", "shrink", "pad", "prior")  # fmt: skip
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
            f"{config.dataset}: all training examples are labelled; set labelled_share = 1, or lower labels"
            f" ({len(data.labelled)} now)."
        )


def fresh(config: Config, tables: Mapping[str, pa.Table] | None, device: torch.device) -> FlowData:
    """The data of a run, from its tables.

    Args:
        tables: splits of `config.dataset`; None for moons and circles.

    Raises:
        DataError: labels outside 0..K-1, a class without a labelled example, values that are not finite, constant
            columns, or too few rows; says which.
    """
    found = _checked(config, tables)
    raw, labels = found.train
    rows, held_out, labelled = _rows(config, found)
    features = [name for feature in found.features for name in feature.names]
    projection = make_projection(config, raw[rows], features, config.dataset)

    def seen(of: Tensor, of_labels: Tensor) -> Examples:
        x = shrink(of, config) if projection is None else projection(of)
        return Examples(x.to(device), of.to(device), of_labels.to(device))

    train, test = seen(raw[rows], labels[rows]), seen(*found.test)
    others = torch.ones(len(rows), dtype=torch.bool)
    others[labelled] = False
    notes = found.notes
    if found.val is not None:
        val = seen(*found.val)
    elif len(held_out):
        val = seen(raw[held_out], labels[held_out])
    else:
        val = train.at(labelled.to(device))
        notes = (*notes, "no example validates: error, ce, nll and bpd are of the labelled training examples; compare"
                         " no settings by them")  # fmt: skip
    if config.prior == "uniform":
        notes = (*notes, *imbalance_note(labels[rows], labelled, found.names))
    return FlowData(
        train,
        labelled.to(device),
        others.nonzero().flatten().to(device),
        val,
        test,
        found.names,
        found.features,
        found.dropped,
        notes,
        None if projection is None else projection.to(device),
    )


def _checked(config: Config, tables: Mapping[str, pa.Table] | None) -> Raw:
    """Examples with labels that can be trained and scored on."""
    found = _raw(config, tables)
    where = config.dataset
    parts: dict[str, Labelled] = {"train": found.train, "test": found.test}
    if found.val is not None:
        parts["validation"] = found.val
    for name, (raw, labels) in parts.items():
        check_labels(labels, len(found.names), where)
        _require_finite(raw, f"{where}, {name}")
        if name != "train" and (labels < 0).any():
            raise DataError(
                f"{where}, {name}: {int((labels < 0).sum())} rows have no label; every {name} row needs one."
            )
    return found


def _rows(config: Config, found: Raw) -> tuple[Tensor, Tensor, Tensor]:
    """Row numbers to train on and to validate on, both in order, and which of the first are labelled."""
    labels = found.train[1]
    named = found.named
    taken = set() if named is None else set(named.tolist())
    held_out = torch.empty(0, dtype=torch.int64) if found.val is not None else _held_out(labels, taken, config)
    kept = torch.ones(len(labels), dtype=torch.bool)
    kept[held_out] = False
    rows = kept.nonzero().flatten()
    if named is None:
        chosen = choose_labelled(
            labels[rows], config.labels, found.names, config.split, config.split_seed, config.dataset
        )
        return rows, held_out, chosen
    if len(bare := named[labels[named] < 0]):
        raise DataError(f"{config.dataset}: labelled_rows names row {int(bare[0])}, which has no label; leave it out.")
    chosen = torch.searchsorted(rows, named)
    shown = torch.full_like(labels[rows], -1)
    shown[chosen] = labels[named]
    return rows, held_out, choose_labelled(shown, 0, found.names, config.split, config.split_seed, config.dataset)


def _held_out(labels: Tensor, taken: set[int], config: Config) -> Tensor:
    """Row numbers to validate on, in order: labelled ones that are not `taken`."""
    if config.validation is None:
        return fifth_of_each(labels, config.split_seed, taken)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(config.split_seed))
    if taken:
        order = order[~torch.isin(order, torch.tensor(sorted(taken)))]
    scorable = order[labels[order] >= 0]
    if len(scorable) + len(taken) <= config.validation or len(labels) - config.validation < 2:
        raise DataError(
            f"{config.dataset}: validation = {config.validation} of {len(scorable)} labelled training examples leaves"
            f" none for training; lower it."
        )
    return scorable[: config.validation].sort().values


def _raw(config: Config, tables: Mapping[str, pa.Table] | None) -> Raw:
    if config.dataset in TOYS:
        drawn = torch.Generator().manual_seed(config.split_seed)
        train = points(config.dataset, config.points + (config.validation or 0), config.spread, drawn)
        return Raw(train, points(config.dataset, TEST_POINTS, config.spread, drawn), ("0", "1"))
    assert tables is not None
    pixels = pixels_of(config.dataset)
    if pixels is None:
        return own_examples(config, tables)
    train = images(tables["train"], pixels.channels, (pixels.height, pixels.width))
    test = images(tables["test"], pixels.channels, (pixels.height, pixels.width))
    names = describe(config.dataset).classes
    if config.classes:
        names = tuple(names[number] if number < len(names) else str(number) for number in range(config.classes))
    named = None
    if config.labelled_rows is not None:
        named = named_rows(config.labelled_rows, tables["train"], config.dataset)
    return Raw(train, test, tuple(names), named=named)


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


def shrink(pictures: Tensor, config: Config) -> Tensor:
    """uint8 pictures with blocks averaged (rounded to whole values) and black edges added; vectors as they are."""
    if pictures.dtype != torch.uint8 or (config.shrink == 1 and not config.pad):
        return pictures
    shrunk(tuple(pictures.shape[1:]), config)  # refuses what the blocks do not tile
    small = pictures
    if config.shrink > 1:
        small = functional.avg_pool2d(pictures.float(), config.shrink).round().to(torch.uint8)
    return functional.pad(small, [config.pad] * 4)


def said(data: FlowData) -> list[str]:
    """What is used of the data and for what, in sentences."""
    own = bool(data.features or data.dropped)
    counts = (f"{len(data.labelled)} labelled and {len(data.unlabelled)} unlabelled examples train, {len(data.val)}"
              f" validate, {len(data.test)} test")  # fmt: skip
    lines = [counts]
    if own:
        used = ", ".join(f"{feature.name} ({feature.kind})" for feature in data.features)
        lines.append(f"columns used: {used or 'the pictures'}")
        lines += [f"column {name} is not used: {reason}" for name, reason in data.dropped.items()]
        lines.append(f"classes: {', '.join(data.names)}")
    if any(feature.discrete for feature in data.features):
        lines.append("columns of few values have no density of their own: nll is that of their scaled values, and is"
                     " comparable only under the same columns and input_noise")  # fmt: skip
    return [*lines, *data.notes]
