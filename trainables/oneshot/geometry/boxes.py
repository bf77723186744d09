"""Boxes: intersection over union, the coder of regression targets, clipping and non-maximum suppression.

A box is (x0, y0, x1, y1) in pixels; its right and lower edges are exclusive.
"""

from __future__ import annotations

import math

import torch
import torchvision
from torch import Tensor

CODER_WEIGHTS = (10.0, 10.0, 5.0, 5.0)
_LARGEST_LOG = math.log(1000.0 / 16)
_CHUNK = 10_000  # boxes compared with each other in one suppression


def areas(boxes: Tensor) -> Tensor:
    """(...,) square pixels of boxes (..., 4); 0 for a box with x1 < x0 or y1 < y0."""
    return (boxes[..., 2] - boxes[..., 0]).clamp(min=0) * (boxes[..., 3] - boxes[..., 1]).clamp(min=0)


def intersections(first: Tensor, second: Tensor) -> Tensor:
    """(..., n, m) shared square pixels of boxes (..., n, 4) and (..., m, 4)."""
    a, b = first.unsqueeze(-2), second.unsqueeze(-3)
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    return (high - low).clamp(min=0).prod(-1)


def iou(first: Tensor, second: Tensor) -> Tensor:
    """(..., n, m) intersection over union; 0 where both boxes are empty."""
    shared = intersections(first, second)
    union = areas(first).unsqueeze(-1) + areas(second).unsqueeze(-2) - shared
    return torch.where(union > 0, shared / union.clamp(min=1e-12), torch.zeros_like(shared))


def encode(boxes: Tensor, anchors: Tensor) -> Tensor:
    """Boxes relative to anchors, both (..., 4): (10 dx/w, 10 dy/h, 5 ln w'/w, 5 ln h'/h) (Ren et al. 2015).

    Sides are at least one pixel, so that the logarithm is finite.
    """
    size, anchor = (boxes[..., 2:] - boxes[..., :2]).clamp(min=1), anchors[..., 2:] - anchors[..., :2]
    shift = ((boxes[..., :2] - anchors[..., :2]) + (boxes[..., 2:] - anchors[..., 2:])) / 2 / anchor
    weight = boxes.new_tensor(CODER_WEIGHTS)
    return torch.cat([shift, (size / anchor).log()], -1) * weight


def decode(codes: Tensor, anchors: Tensor) -> Tensor:
    """The inverse of `encode`; a side grows by a factor of at most 1000 / 16."""
    values = codes / codes.new_tensor(CODER_WEIGHTS)
    anchor = anchors[..., 2:] - anchors[..., :2]
    centre = (anchors[..., :2] + anchors[..., 2:]) / 2 + values[..., :2] * anchor
    half = anchor * values[..., 2:].clamp(max=_LARGEST_LOG).exp() / 2
    return torch.cat([centre - half, centre + half], -1)


def clip(boxes: Tensor, width: float, height: float) -> Tensor:
    """Boxes clipped to a picture."""
    high = boxes.new_tensor([width, height, width, height])
    return torch.minimum(boxes.clamp(min=0), high)


def suppress(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
    """Indices of the boxes that no better box overlaps by more than `threshold` IoU, best first.

    Many boxes are first reduced in chunks of 10,000: within a chunk only a better box removes another one, so the final
    pass over the remaining boxes leaves a set without overlaps.
    """
    kept = scores.argsort(descending=True, stable=True)
    while len(kept) > _CHUNK:
        parts = [part[_nms(boxes[part], scores[part], threshold)] for part in kept.split(_CHUNK)]
        fewer = torch.cat(parts)
        if len(fewer) == len(kept):
            break
        kept = fewer
    return kept[_nms(boxes[kept], scores[kept], threshold)]


def _nms(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
    kept: Tensor = torchvision.ops.nms(boxes.float(), scores.float(), threshold)
    return kept
