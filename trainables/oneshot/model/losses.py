"""Losses of the one-shot detector: ranked list, contrastive and hinge loss of scores, and the loss of boxes.

s: scores. l+ = max(m+ - s, 0) / 2 on positives, l- = max(s - m-, 0) / 2 on negatives; the 1/2 is historical. Negatives
always contribute, with or without positives in the batch, and on every device.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from trainables.oneshot.geometry.targets import NEGATIVE, POSITIVE
from trainables.oneshot.registry import require_same_names

Objective = Literal["rll", "contrastive", "hinge"]
_LEAST = 1e-5  # a class whose largest negative loss is below this does not contribute


@dataclass(frozen=True)
class Margins:
    """Scores beyond which positives and negatives have no loss, and the weights of negatives.

    Args:
        positive, negative: m+ and m-.
        ranked_ratio: r, the weight of a negative with loss 0 relative to the worst one (rll).
        hard_ratio: negatives kept per positive (contrastive and hinge).
        negative_weight: of the negatives' term.
    """

    positive: float
    negative: float
    ranked_ratio: float = 0.001
    hard_ratio: float = 3.0
    negative_weight: float = 1.0


@dataclass(frozen=True)
class ScoreLosses:
    """The losses of a batch's scores, each (B, K, A) over all anchors.

    Args:
        above: l+, counted where `positive` is set.
        below: l-, counted where `negative` is set.
    """

    above: Tensor
    positive: Tensor
    below: Tensor
    negative: Tensor


def ranked_list(losses: ScoreLosses, margins: Margins) -> Tensor:
    """Ranked list loss (Wang et al. 2019): mean of the active positives, and negatives weighed by their rank."""
    active = losses.above[losses.positive]
    pulled = active.sum() / (active > 0).sum().clamp(min=1)
    return pulled + margins.negative_weight * _ranked(losses.below, losses.negative, margins.ranked_ratio)


def hardest_negatives(losses: ScoreLosses, margins: Margins, power: int) -> Tensor:
    """Losses to a power, of all positives and of the `hard_ratio` hardest negatives per positive."""
    count = losses.positive.sum().clamp(min=1)
    hardest = _hardest(losses.below[losses.negative], math.ceil(margins.hard_ratio * int(count)))
    pulled = losses.above[losses.positive].pow(power).sum() / count
    return pulled + margins.negative_weight * hardest.pow(power).sum() / count


OBJECTIVES: dict[Objective, Callable[[ScoreLosses, Margins], Tensor]] = {
    "rll": ranked_list,
    "contrastive": partial(hardest_negatives, power=2),
    "hinge": partial(hardest_negatives, power=1),
}
require_same_names("loss.objective", Objective, OBJECTIVES)


def class_loss(kind: Objective, scores: Tensor, detached: Tensor, labels: Tensor, margins: Margins) -> Tensor:
    """The loss of recognition.

    Args:
        kind: a name in OBJECTIVES.
        scores: (B, K, A) of all anchors; their gradients reach the transformations.
        detached: (B, K, A) the scores that negatives use.
        labels: (B, K, A) in {1, 0, -1}.
        margins: of the losses.
    """
    above = (margins.positive - scores).clamp(min=0) / 2
    below = (detached - margins.negative).clamp(min=0) / 2
    return OBJECTIVES[kind](ScoreLosses(above, labels == POSITIVE, below, labels == NEGATIVE), margins)


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
    """The `count` largest losses, or all if there are fewer."""
    return losses.topk(count).values if count < len(losses) else losses


def box_loss(codes: Tensor, wanted: Tensor) -> Tensor:
    """Smooth L1 of (n, 4) codes, summed over coordinates, averaged over the n positives; 0 without positives."""
    if len(codes) == 0:
        return codes.sum()
    return functional.smooth_l1_loss(codes, wanted, reduction="none").sum(1).mean()


def anchor_losses(scores: Tensor, labels: Tensor, margins: Margins) -> tuple[Tensor, Tensor]:
    """The losses of single anchors, of positives and of negatives, 0 elsewhere; they rank hard patches."""
    above = (margins.positive - scores).clamp(min=0) / 2 * (labels == POSITIVE)
    below = (scores - margins.negative).clamp(min=0) / 2 * (labels == NEGATIVE)
    return above, below
