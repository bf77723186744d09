"""Losses of the one-shot detector: ranked list loss, contrastive and hinge losses of scores, and of boxes.

s: scores. l+ = max(m+ - s, 0) / 2 on positives, l- = max(s - m-, 0) / 2 on negatives; the 1/2 is historic. Negatives
always count, with or without positives in the batch, and on every device.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from trainables.oneshot.geometry.targets import NEGATIVE, POSITIVE

Objective = Literal["rll", "contrastive", "hinge"]
_LEAST = 1e-5  # a class whose worst negative loss is below this has nothing left to push


@dataclass(frozen=True)
class Margins:
    """Where positives and negatives are content, and how negatives are weighed.

    Args:
        positive, negative: m+ and m-.
        ranked_ratio: r, the weight of a negative with loss 0 relative to the worst one (rll).
        hard_ratio: negatives kept for each positive (contrastive and hinge).
        negative_weight: of the negatives' term.
    """

    positive: float
    negative: float
    ranked_ratio: float = 0.001
    hard_ratio: float = 3.0
    negative_weight: float = 1.0


def class_loss(kind: Objective, scores: Tensor, detached: Tensor, labels: Tensor, margins: Margins) -> Tensor:
    """The loss of recognition.

    Args:
        scores: (B, K, A) of all anchors, through which gradients reach the transformations.
        detached: (B, K, A) the scores that negatives use.
        labels: (B, K, A) in {1, 0, -1}.
    """
    above = (margins.positive - scores).clamp(min=0) / 2
    below = (detached - margins.negative).clamp(min=0) / 2
    positive, negative = labels == POSITIVE, labels == NEGATIVE
    if kind == "rll":
        active = above[positive]
        pulled = active.sum() / (active > 0).sum().clamp(min=1)
        return pulled + margins.negative_weight * _ranked(below, negative, margins.ranked_ratio)
    power = 2 if kind == "contrastive" else 1
    count = positive.sum().clamp(min=1)
    hardest = _hardest(below[negative], math.ceil(margins.hard_ratio * int(count)))
    return above[positive].pow(power).sum() / count + margins.negative_weight * hardest.pow(power).sum() / count


def _ranked(losses: Tensor, negative: Tensor, ratio: float) -> Tensor:
    """Mean over classes of the negatives' losses, each weighed by exp((l - M) T) with T = -ln(r) / M, M the largest."""
    by_class = torch.where(negative, losses, torch.zeros_like(losses)).transpose(0, 1).flatten(1)  # (K, B * A)
    largest = by_class.detach().amax(1, keepdim=True)
    counted = largest[:, 0] > _LEAST
    if not counted.any():
        return losses.sum() * 0.0
    by_class, largest = by_class[counted], largest[counted]
    with torch.no_grad():
        weight = torch.exp((by_class - largest) * (-math.log(ratio) / largest)) * (by_class > 0)
        weight = weight / weight.sum(1, keepdim=True)
    return (weight * by_class).sum(1).mean()


def _hardest(losses: Tensor, count: int) -> Tensor:
    """The `count` largest losses; all of them where there are fewer."""
    return losses.topk(count).values if count < len(losses) else losses


def box_loss(codes: Tensor, wanted: Tensor) -> Tensor:
    """Smooth L1 of (n, 4) codes, summed over coordinates, mean over the n positives; 0 without positives."""
    if len(codes) == 0:
        return codes.sum()
    return functional.smooth_l1_loss(codes, wanted, reduction="none").sum(1).mean()


def anchor_losses(scores: Tensor, labels: Tensor, margins: Margins) -> tuple[Tensor, Tensor]:
    """Losses of single anchors, of positives and of negatives, 0 elsewhere; what hard patches are mined by."""
    above = (margins.positive - scores).clamp(min=0) / 2 * (labels == POSITIVE)
    below = (scores - margins.negative).clamp(min=0) / 2 * (labels == NEGATIVE)
    return above, below
