"""Search a picture for objects of some classes: class features once, then level by level, batch by batch.

`inference.class_batch`, `top_k` and `max_megapixels` bound the memory. Only the kept detections grow with the numbers
of scenes and classes, at most `inference.most` of each.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from raybayes.errors import DataError
from trainables.oneshot.config import ClassViews, Config, InferenceValues
from trainables.oneshot.data.records import Picture, to_tensor
from trainables.oneshot.detection.detector import ClassFeatures, Detector, resized
from trainables.oneshot.geometry.boxes import areas, clip, suppress
from trainables.oneshot.geometry.windows import STRIDE, boxes_of, corners_of
from trainables.oneshot.model.backbones import cells
from trainables.oneshot.registry import require_same_names

BOX_BYTES = 72  # per row of Boxes


class ViewKind(NamedTuple):
    """The views of a class image: its quarter turns, and whether each is also mirrored."""

    turns: int
    mirrored: bool

    @property
    def total(self) -> int:
        """Number of views."""
        return self.turns * (2 if self.mirrored else 1)


VIEWS: dict[ClassViews, ViewKind] = {
    "none": ViewKind(1, False),
    "horflip": ViewKind(1, True),
    "rotation90": ViewKind(4, False),
    "horflip_rotation90": ViewKind(4, True),
}
require_same_names("inference.class_views", ClassViews, VIEWS)


@dataclass(frozen=True)
class Boxes:
    """Detections in one scene, n rows.

    Args:
        owner: (n,) index of the class.
        view: (n,) index of the class's picture or view that found it.
        level: (n,) scale of the pyramid.
        score: (n,) in [-1, 1].
        box: (n, 4) pixels of the scene.
        corners: (n, 8) corners of the transformed window, pixels of the scene.
    """

    owner: Tensor
    view: Tensor
    level: Tensor
    score: Tensor
    box: Tensor
    corners: Tensor

    def __len__(self) -> int:
        return len(self.score)

    def pick(self, index: Tensor) -> Boxes:
        """The rows at these indices."""
        return Boxes(*(column[index] for column in vars(self).values()))

    @staticmethod
    def joined(parts: Sequence[Boxes]) -> Boxes:
        """The rows of all parts."""
        columns = zip(*(vars(part).values() for part in parts), strict=True)
        return Boxes(*(torch.cat(list(column)) for column in columns))

    @staticmethod
    def none() -> Boxes:
        """No rows."""
        index = torch.zeros(0, dtype=torch.long)
        return Boxes(index, index, torch.zeros(0), torch.zeros(0), torch.zeros(0, 4), torch.zeros(0, 8))


def views_of(pixels: Tensor, kind: ClassViews) -> list[Tensor]:
    """The views of a class image (3, h, w): first the image, then its quarter turns, then their mirror images."""
    turned = [pixels.rot90(k, (1, 2)) for k in range(VIEWS[kind].turns)]
    return turned + ([each.flip(2) for each in turned] if VIEWS[kind].mirrored else [])


class Finder:
    """Finds classes in scenes.

    Args:
        detector: must not change between `learn` and `find`, since the features of class images are kept.
        config: of the run.
        long_side: pixels of a scene's long side at level 1.
        device: of the detector.
    """

    def __init__(self, detector: Detector, config: Config, long_side: int, device: torch.device) -> None:
        self.detector, self.config, self.long_side, self.device = detector, config, long_side, device
        self.classes: tuple[str, ...] = ()
        self._owner, self._view = torch.zeros(0, dtype=torch.long), torch.zeros(0, dtype=torch.long)
        self._features: ClassFeatures | None = None
        self.head_seconds, self.head_calls = 0.0, 0

    @torch.no_grad()
    def learn(self, classes: Mapping[str, Sequence[Picture]]) -> None:
        """Compute the features of all classes: the first `class_images` pictures of each, in every view."""
        values = self.config.inference
        pictures, owner, view = [], [], []
        for i, images in enumerate(classes.values()):
            shown = [
                v
                for image in images[: values.class_images]
                for v in views_of(to_tensor(image.open()), values.class_views)
            ]
            pictures += shown
            owner += [i] * len(shown)
            view += list(range(len(shown)))
        self.classes = tuple(classes)
        self._owner, self._view = torch.tensor(owner), torch.tensor(view)
        self.detector.start_inference(self.config)
        parts = [
            self.detector.class_features([p.to(self.device) for p in pictures[i : i + values.class_batch]])
            for i in range(0, len(pictures), values.class_batch)
        ]
        self._features = ClassFeatures(torch.cat([p.grids for p in parts]), torch.cat([p.aspect for p in parts]))

    @torch.no_grad()
    def raw(self, picture: Picture) -> Boxes:
        """All boxes of a scene before suppression: at most `top_k` per class, view and level.

        Raises:
            DataError: the picture cannot be decoded, or is too small or too large at a level.
        """
        if self._features is None:
            raise DataError("the finder knows no class; call learn with a picture of each class first.")
        self.detector.start_inference(self.config)
        pixels = to_tensor(picture.open())
        height, width = pixels.shape[1:]
        factor = self.long_side / max(width, height)
        parts = [self._level(picture.name, pixels, factor, level) for level in sorted(self.config.levels)]
        return Boxes.joined(parts)

    def find(self, picture: Picture) -> Boxes:
        """The detections of a scene, best first."""
        return finish(self.raw(picture), self.config.inference)

    def _level(self, name: str, pixels: Tensor, factor: float, level: float) -> Boxes:
        height, width = pixels.shape[1:]
        h, w = int(height * factor * level), int(width * factor * level)
        self._check_size(name, width, height, w, h, level)
        features = self.detector.scene_features(resized(pixels.to(self.device), h, w)[None])
        back = torch.tensor([width / w, height / h])
        assert self._features is not None
        found = []
        for start in range(0, len(self._owner), self.config.inference.class_batch):
            stop = min(start + self.config.inference.class_batch, len(self._owner))
            part = self._features.part(start, stop)
            began = self._now()
            matches = self.detector.head(part.grids, features, part.aspect)
            self.head_seconds += self._now() - began
            self.head_calls += stop - start
            grid = self.detector.geometry.grid
            score = matches.scores[0].flatten(1).cpu()
            box, corners = boxes_of(matches.maps, grid)[0].cpu(), corners_of(matches.maps, grid)[0].cpu()
            found.append(self._best(score, clip(box, w, h), corners, start, level, back))
        return Boxes.joined(found)

    def _best(self, score: Tensor, box: Tensor, corners: Tensor, start: int, level: float, back: Tensor) -> Boxes:
        """The `top_k` boxes of each class image, in pixels of the scene; empty ones dropped."""
        count = min(self.config.inference.top_k, score.shape[1])
        best, index = score.topk(count, dim=1)
        row = torch.arange(len(score))[:, None].expand_as(index).reshape(-1)
        index = index.reshape(-1)
        box, corners = box[row, index], corners[row, index]
        kept = areas(box) > 0
        which = (row + start)[kept]
        return Boxes(
            self._owner[which], self._view[which], torch.full((len(which),), level), best.reshape(-1)[kept],
            box[kept] * back.repeat(2), corners[kept] * back.repeat(4),
        )  # fmt: skip

    def _check_size(self, name: str, width: int, height: int, w: int, h: int, level: float) -> None:
        if min(w, h) < STRIDE:
            raise DataError(
                f"{name}: {width} x {height} pixels become {w} x {h} at level {level:g}, less than one cell of {STRIDE}"
                f" x {STRIDE}; raise inference.eval_scale (now {self.long_side}) or remove that level."
            )
        limit = self.config.inference.max_megapixels
        if w * h > limit * 1e6:
            raise DataError(
                f"{name}: {w} x {h} pixels at level {level:g} exceed inference.max_megapixels = {limit:g}"
                f" ({cells(w) * cells(h)} cells per class); lower inference.eval_scale or the levels, or raise it."
            )

    def _now(self) -> float:
        """Processor seconds; on a GPU wall-clock seconds after all queued work."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
            return time.perf_counter()
        return time.process_time()


def most_boxes(config: Config, sizes: Sequence[tuple[int, int]], long_side: int, class_images: int) -> int:
    """The largest number of boxes that `Finder.raw` returns for scenes of these sizes (width, height)."""
    total = 0
    for width, height in sizes:
        for level in config.levels:
            factor = long_side / max(width, height) * level
            total += min(cells(int(width * factor)) * cells(int(height * factor)), config.inference.top_k)
    return total * class_images * VIEWS[config.inference.class_views].total


def finish(raw: Boxes, values: InferenceValues) -> Boxes:
    """Threshold, then suppression within each class over all levels and views, then optionally across classes."""
    kept = (
        (raw.score > values.score_threshold) if values.score_threshold > -1 else torch.ones(len(raw), dtype=torch.bool)
    )
    raw = raw.pick(kept.nonzero()[:, 0])
    if len(raw) == 0:
        return raw
    parts = []
    for owner in raw.owner.unique().tolist():
        mine = (raw.owner == owner).nonzero()[:, 0]
        parts.append(mine[suppress(raw.box[mine], raw.score[mine], values.nms_iou)][: values.most])
    index = torch.cat(parts)
    if values.nms_across_classes:
        index = index[suppress(raw.box[index], raw.score[index], values.nms_iou)]
    return raw.pick(index[raw.score[index].argsort(descending=True, stable=True)])
