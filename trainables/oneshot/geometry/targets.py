"""Assignment of anchors, or of predicted boxes, to objects by overlap."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from trainables.oneshot.geometry.boxes import iou

POSITIVE, IGNORED, NEGATIVE = 1, 0, -1


@dataclass(frozen=True)
class Objects:
    """The boxes of one class in one scene: boxes (m, 4) in pixels, difficult (m,)."""

    boxes: Tensor
    difficult: Tensor


@dataclass(frozen=True)
class Assigned:
    """Per anchor: label (A,) in {1, 0, -1} = positive, ignored, negative; box (A,), the index of its object."""

    label: Tensor
    box: Tensor


def assign(candidates: Tensor, objects: Objects, positive: float, negative: float) -> Assigned:
    """Label candidates (A, 4), anchors or predicted boxes, by their best overlap.

    IoU >= positive: positive, for the object of the largest overlap; below negative: negative; between: ignored.
    A candidate whose object is difficult is ignored. An object may have no candidate.
    """
    if len(objects.boxes) == 0:
        nothing = torch.zeros(len(candidates), dtype=torch.long, device=candidates.device)
        return Assigned(torch.full_like(nothing, NEGATIVE), nothing)
    best, box = iou(candidates, objects.boxes.to(candidates)).max(1)
    label = torch.full_like(box, IGNORED)
    label[best >= positive] = POSITIVE
    label[best < negative] = NEGATIVE
    label[(label == POSITIVE) & objects.difficult.to(box.device)[box]] = IGNORED
    return Assigned(label, box)
