"""Which training examples keep their label."""

from __future__ import annotations

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


def choose_labelled(
    labels: Tensor, count: int, classes: int, split: Literal["balanced", "proportional"], seed: int, where: str
) -> Tensor:
    """Row numbers of the examples that keep their label, in order.

    Args:
        labels: (n,), -1 where there is none.
        count: how many; 0: all that have one.
        split: "balanced": equally many per class, one more for the first classes where it does not divide;
            "proportional": in proportion to the classes, rounded by largest remainder.

    Raises:
        DataError: a class would get no labelled example, or has too few.
    """
    present = torch.stack([(labels == k).sum() for k in range(classes)])
    if count == 0:
        _require_all(present, where, "label at least one example of each")
        return (labels >= 0).nonzero().flatten()
    wanted = _shares(present.double() if split == "proportional" else torch.ones(classes, dtype=torch.float64), count)
    _require_all(wanted, where, f"raise labels = {count}, or use split = balanced")
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for k in range(classes):
        of_class = (labels == k).nonzero().flatten()
        if len(of_class) < wanted[k]:
            raise DataError(
                f"{where}: class {k} has {len(of_class)} labelled examples, but labels = {count} needs"
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


def _require_all(counts: Tensor, where: str, remedy: str) -> None:
    empty = [str(k) for k, n in enumerate(counts.tolist()) if not n]
    if empty:
        raise DataError(f"{where}: no labelled example of class {', '.join(empty)}; {remedy}.")
