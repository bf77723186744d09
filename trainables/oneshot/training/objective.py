"""The loss of a batch: recognition of every anchor, and the boxes of positive ones."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from trainables.oneshot.config import Config
from trainables.oneshot.detection.detector import Detector
from trainables.oneshot.geometry.boxes import encode
from trainables.oneshot.geometry.targets import POSITIVE, assign
from trainables.oneshot.geometry.windows import anchors, boxes_of
from trainables.oneshot.model.head import Matches
from trainables.oneshot.model.losses import Margins, box_loss, class_loss
from trainables.oneshot.training.batches import Batch


@dataclass(frozen=True)
class Targets:
    """The targets of a batch.

    Args:
        labels: (B, K, A) in {1, 0, -1}, for recognition.
        codes: per patch and class, (n, 4) encoded predicted boxes of the anchors that overlap an object enough.
        objects: per patch and class, (n, 4) encoded boxes of their objects.
    """

    labels: Tensor
    codes: list[Tensor]
    objects: list[Tensor]


def objective(matches: Matches, batch: Batch, config: Config, detector: Detector, update: int) -> tuple[Tensor, float]:
    """The loss of a batch, and its number of positives in recognition."""
    values = config.loss
    targets = batch_targets(matches, batch, config, detector, update)
    scores = matches.scores.flatten(2)
    assert matches.detached is not None
    negatives = scores if values.transform_on_negatives else matches.detached.flatten(2)
    margins = Margins(
        values.negative_margin + values.margin_gap, values.negative_margin, values.ranked_ratio, values.hard_ratio,
        values.negative_weight,
    )  # fmt: skip
    loss = class_loss(values.objective, scores, negatives, targets.labels, margins)
    if targets.codes:
        loss = loss + values.box_weight * box_loss(torch.cat(targets.codes), torch.cat(targets.objects))
    # Every trainable parameter takes part in every update, as the averaging of gradients requires.
    return loss + 0.0 * (scores.sum() + matches.maps.sum()), float((targets.labels == POSITIVE).sum())


def batch_targets(matches: Matches, batch: Batch, config: Config, detector: Detector, update: int) -> Targets:
    """Assign the anchors of every patch and class to its objects, by their own boxes and by the predicted ones."""
    values = config.targets
    grid, (h, w) = detector.geometry.grid, matches.scores.shape[2:]
    frames = anchors(h, w, grid, detector.aspects(batch.class_images).to(matches.scores))
    boxes = boxes_of(matches.maps, grid)
    own = values.positive_iou, values.negative_iou
    late = update >= values.remap_after * config.steps
    remap = (values.remap_positive_iou, values.remap_negative_iou) if late else own
    labels, codes, own_objects = [], [], []
    for b, row in enumerate(batch.objects):
        for k, objects in enumerate(row):
            first = assign(frames[k], objects, *own)
            labels.append(assign(boxes[b, k].detach(), objects, *remap).label if values.remap else first.label)
            placed = first.label == POSITIVE
            if placed.any():
                codes.append(encode(boxes[b, k][placed], frames[k][placed]))
                own_objects.append(encode(objects.boxes.to(boxes)[first.box[placed]], frames[k][placed]))
    return Targets(torch.stack(labels).view(*matches.scores.shape[:2], -1), codes, own_objects)
