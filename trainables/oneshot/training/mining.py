"""Hard patches: the parts of the training scenes with the largest losses of the current model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from trainables.oneshot.config import Config
from trainables.oneshot.data.draws import Draws
from trainables.oneshot.data.records import OneShotData, Scene, to_tensor
from trainables.oneshot.detection.detector import Detector, resized
from trainables.oneshot.geometry.boxes import encode, suppress
from trainables.oneshot.geometry.targets import POSITIVE, Objects, assign
from trainables.oneshot.geometry.windows import STRIDE, anchors, boxes_of
from trainables.oneshot.model.losses import Margins, anchor_losses

Kind = Literal["negative", "positive", "box"]


@dataclass(frozen=True)
class Mined:
    """One hard patch: a window (x0, y0, x1, y1) of a scene, in its pixels, and the class with the loss."""

    kind: Kind
    scene: str
    label: str
    window: tuple[float, float, float, float]
    loss: float


@torch.no_grad()
def mine(
    detector: Detector, config: Config, data: OneShotData, scenes: Sequence[Scene], scales: Mapping[str, float],
    draws: Draws, device: torch.device,
) -> list[Mined]:  # fmt: skip
    """The hardest patches of each scene: negatives, positives and badly placed boxes, `per_scene` of each kind.

    Each scene is searched at a few random scales for its own classes and some others.
    """
    detector.start_inference(config)
    found: list[Mined] = []
    for scene in scenes:
        own = sorted(set(scene.labels))
        others = draws.shuffled([name for name in data.trained if name not in own])[: config.mining.classes]
        records: dict[Kind, list[tuple[Tensor, Tensor, str]]] = {"negative": [], "positive": [], "box": []}
        pixels = to_tensor(scene.picture.open()).to(device)
        for _ in range(config.mining.scales):
            jitter = config.patch.scale_jitter
            scale = draws.uniform(scales[scene.id] * jitter, scales[scene.id] / jitter)
            _search(detector, config, data, scene, pixels, scale, [*own, *others], records)
        for kind, parts in records.items():
            found += _hardest(kind, scene, parts, config)
    return found


def _search(
    detector: Detector, config: Config, data: OneShotData, scene: Scene, pixels: Tensor, scale: float,
    classes: list[str], records: dict[Kind, list[tuple[Tensor, Tensor, str]]],
) -> None:  # fmt: skip
    """Add the losses (A,) and windows (A, 4) of the anchors for every class, at one scale."""
    h, w = (max(int(side * scale), STRIDE) for side in pixels.shape[1:])
    features = detector.scene_features(resized(pixels, h, w)[None])
    back = torch.tensor([scene.width / w, scene.height / h]).repeat(2)
    margins = Margins(config.loss.negative_margin + config.loss.margin_gap, config.loss.negative_margin)
    batch = config.inference.class_batch
    for start in range(0, len(classes), batch):
        names = classes[start : start + batch]
        images = [to_tensor(data.class_images[name][0].picture.open()).to(features.device) for name in names]
        known = detector.class_features(images)
        matches = detector.head(known.grids, features, known.aspect)
        boxes = boxes_of(matches.maps, detector.geometry.grid)[0].cpu()
        scores = matches.scores[0].flatten(1).cpu()
        height, width = matches.scores.shape[2:]
        grid = anchors(height, width, detector.geometry.grid, known.aspect.cpu())
        windows = _windows(grid[0], w, h, config) * back
        for k, name in enumerate(names):
            objects = _objects(scene, name, scale=1 / back)
            label = assign(grid[k], objects, config.targets.positive_iou, config.targets.negative_iou)
            above, below = anchor_losses(scores[k], label.label, margins)
            records["negative"].append((below, windows, name))
            records["positive"].append((above, windows, name))
            if len(objects.boxes):
                off = (encode(boxes[k], grid[k]) - encode(objects.boxes[label.box], grid[k])).abs().sum(1)
                records["box"].append((off * (label.label == POSITIVE), windows, name))


def _objects(scene: Scene, name: str, scale: Tensor) -> Objects:
    mine = [i for i, label in enumerate(scene.labels) if label == name]
    return Objects(scene.boxes[mine] * scale, scene.difficult[mine])


def _windows(grid: Tensor, width: int, height: int, config: Config) -> Tensor:
    """(A, 4) the patch around each anchor, with its corner on a cell's corner, moved into the picture if it fits."""
    size = torch.tensor([config.patch.width, config.patch.height])
    corner = ((grid[:, :2] + grid[:, 2:] - size) / 2 / STRIDE).round() * STRIDE
    free = (torch.tensor([width, height]) - size).clamp(min=0)
    corner = torch.minimum(corner.clamp(min=0), free)
    return torch.cat([corner, corner + size], 1)


def _hardest(kind: Kind, scene: Scene, parts: list[tuple[Tensor, Tensor, str]], config: Config) -> list[Mined]:
    if not parts:
        return []
    losses = torch.cat([loss for loss, _, _ in parts])
    windows = torch.cat([window for _, window, _ in parts])
    owner = torch.cat([torch.full((len(loss),), i) for i, (loss, _, _) in enumerate(parts)])
    hard = (losses > 0).nonzero()[:, 0]
    if len(hard) == 0:
        return []
    kept = hard[suppress(windows[hard], losses[hard], config.mining.nms_iou)][: config.mining.per_scene]
    found = []
    for i in kept.tolist():
        x0, y0, x1, y1 = windows[i].tolist()
        found.append(Mined(kind, scene.id, parts[int(owner[i])][2], (x0, y0, x1, y1), float(losses[i])))
    return found
