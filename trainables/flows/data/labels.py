"""Which training examples keep their label."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

import torch
from torch import Tensor

from raybayes.errors import DataError


def check_labels(labels: Tensor, classes: int, where: str) -> None:
    """Require labels in 0..K-1, or -1 for none, and K of at least 2.

    Raises:
        DataError: names the first row that is wrong.
    """
    if classes < 2:
        raise DataError(f"{where}: found {classes} class; a semi-conditional flow needs 2 or more.")
    wrong = ((labels < -1) | (labels >= classes)).nonzero().flatten()
    if len(wrong):
        row = int(wrong[0])
        raise DataError(
            f"{where}: row {row} has label {int(labels[row])}; labels must be 0 to {classes - 1} (empty: no label);"
            f" correct it, or set classes."
        )


def fifth_of_each(labels: Tensor, seed: int, taken: Collection[int]) -> Tensor:
    """Row numbers, in order, of a fifth of each class's labelled rows, rounded down.

    Args:
        labels: (n,), -1 where there is none.
        taken: rows that stay where they are.
    """
    generator = torch.Generator().manual_seed(seed)
    free = torch.ones(len(labels), dtype=torch.bool)
    free[list(taken)] = False
    rows = [torch.empty(0, dtype=torch.int64)]
    for k in labels[labels >= 0].unique().tolist():
        of_class = ((labels == k) & free).nonzero().flatten()
        rows.append(of_class[torch.randperm(len(of_class), generator=generator)[: len(of_class) // 5]])
    return torch.cat(rows).sort().values


def choose_labelled(
    labels: Tensor,
    count: int,
    names: Sequence[str],
    split: Literal["balanced", "proportional"],
    seed: int,
    where: str,
) -> Tensor:
    """Row numbers of the examples that keep their label, in order.

    Args:
        labels: (n,), -1 where there is none.
        count: how many; 0: all that have one.
        names: of the classes.
        split: "balanced": equally many per class, one more for the first classes where it does not divide;
            "proportional": in proportion to the classes, rounded by largest remainder.

    Raises:
        DataError: a class would get no labelled example, or has too few.
    """
    classes = len(names)
    present = torch.stack([(labels == k).sum() for k in range(classes)])
    if count == 0:
        _require_all(present, names, where, "label at least one example of each")
        return (labels >= 0).nonzero().flatten()
    wanted = _shares(present.double() if split == "proportional" else torch.ones(classes, dtype=torch.float64), count)
    _require_all(wanted, names, where, f"raise labels = {count}, or use split = balanced")
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for k in range(classes):
        of_class = (labels == k).nonzero().flatten()
        if len(of_class) < wanted[k]:
            raise DataError(
                f"{where}: class {names[k]} has {len(of_class)} labelled examples, but labels = {count} needs"
                f" {int(wanted[k])}; lower labels, or use split = proportional."
            )
        rows.append(of_class[torch.randperm(len(of_class), generator=generator)[: wanted[k]]])
    return torch.cat(rows).sort().values


def _shares(weights: Tensor, count: int) -> Tensor:
    exact = weights / weights.sum() * count
    whole = exact.floor().long()
    rest = (exact - whole).argsort(descending=True, stable=True)[: count - int(whole.sum())]
    whole[rest] += 1
    return whole


def _require_all(counts: Tensor, names: Sequence[str], where: str, remedy: str) -> None:
    empty = [names[k] for k, n in enumerate(counts.tolist()) if not n]
    if empty:
        raise DataError(f"{where}: no labelled example of class {', '.join(empty)}; {remedy}.")


def imbalance_note(labels: Tensor, labelled: Tensor, names: Sequence[str]) -> tuple[str, ...]:
    """A sentence where equally many labels per class meet classes of very unequal size, else nothing.

    Args:
        labels: of the training examples, -1 where there is none.
        labelled: rows that keep their label.
    """
    known = labels[labels >= 0].bincount(minlength=len(names)).double()
    kept = labels[labelled].bincount(minlength=len(names)).double()
    if not len(labelled) or known.min() * 2 >= known.max():
        return ()
    most, least = int(known.argmax()), int(known.argmin())
    return (
        f"p(y) is uniform, but class {names[most]} has {int(known[most])} known labels and class {names[least]}"
        f" {int(known[least])} ({int(kept[most])} and {int(kept[least])} are used): if new data are as unequal, set"
        f" prior = given with prior_given, or prior = labelled with split = proportional",
    )
