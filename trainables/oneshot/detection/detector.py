"""The detector: a backbone for scenes and class images, and the head that matches them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainables.oneshot.config import Config
from trainables.oneshot.geometry.windows import Geometry, aspect_of
from trainables.oneshot.model.backbones import build_backbone
from trainables.oneshot.model.head import Head, Matches, normalise
from trainables.oneshot.model.weights import initialise, load_transform


@dataclass(frozen=True)
class ClassFeatures:
    """Class images for the head: unit features on grids (K, C, G, G), and the initial stretch (K, 2) of windows."""

    grids: Tensor
    aspect: Tensor

    def part(self, start: int, stop: int) -> ClassFeatures:
        """Class images start .. stop - 1."""
        return ClassFeatures(self.grids[start:stop], self.aspect[start:stop])


class Detector(nn.Module):
    """A one-stage one-shot detector.

    Args:
        config: only its values of the network are used.
        generator: of the random initialisation.
    """

    def __init__(self, config: Config, generator: torch.Generator) -> None:
        super().__init__()
        model = config.model
        self.geometry = Geometry(model.grid_size, model.pool_border, model.sampling)
        self.follows_class = model.anchor_aspect == "class"
        with torch.random.fork_rng(devices=[]):  # torch's own initialisation draws from the global generator
            torch.manual_seed(int(torch.randint(2**62, (1,), generator=generator)))
            self.backbone = build_backbone(model.backbone)
            self.head = Head(self.geometry, model.transform, "float32")
        initialise(self.backbone, model.weights)
        if model.transform_weights and self.head.transform is not None:
            load_transform(self.head.transform, Path(model.transform_weights).expanduser())

    def forward(self, scenes: Tensor, class_images: Sequence[Tensor]) -> Matches:
        """Match every class image (3, h, w) with every scene of a batch (B, 3, H, W), for training."""
        classes = self.class_features(class_images)
        matches: Matches = self.head(classes.grids, self.scene_features(scenes), classes.aspect, detached=True)
        return matches

    def scene_features(self, scenes: Tensor) -> Tensor:
        """(B, C, H, W) normalised features of pictures (B, 3, h, w) in [0, 1]."""
        return normalise(self.backbone(scenes))

    def class_features(self, class_images: Sequence[Tensor]) -> ClassFeatures:
        """Features of pictures (3, h, w) in [0, 1], each resized to the area of a square anchor."""
        sized = [to_area(picture, self.geometry.side) for picture in class_images]
        by_size: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for i, picture in enumerate(sized):
            by_size[tuple(picture.shape)].append(i)
        grids: list[Tensor | None] = [None] * len(sized)
        g = self.geometry.grid
        for places in by_size.values():
            maps = self.backbone(torch.stack([sized[i] for i in places]))
            grid = normalise(functional.interpolate(maps, (g, g), mode="bilinear", align_corners=True))
            for i, found in zip(places, grid, strict=True):
                grids[i] = found
        stacked = torch.stack([grid for grid in grids if grid is not None])
        return ClassFeatures(stacked, self.aspects(class_images).to(stacked))

    def aspects(self, class_images: Sequence[Tensor]) -> Tensor:
        """(K, 2) initial stretch of each class's window; ones for squares."""
        shapes = [(picture.shape[2], picture.shape[1]) for picture in class_images]
        return torch.tensor([aspect_of(w, h) if self.follows_class else (1.0, 1.0) for w, h in shapes])

    def freeze(self, config: Config) -> None:
        """Exclude the frozen parts from training."""
        optim = config.optim
        blocks = self.backbone.blocks()
        for block in blocks if not optim.train_backbone else blocks[: optim.frozen_blocks]:
            block.requires_grad_(False)
        if self.head.transform is not None and optim.freeze_transform:
            self.head.transform.requires_grad_(False)

    def start_training(self, config: Config) -> None:
        """Set the layers to training mode; BatchNorm of the backbone always keeps its statistics."""
        self.train()
        self.backbone.eval()
        if self.head.transform is not None and (config.optim.freeze_transform or config.optim.freeze_transform_bn):
            self.head.transform.eval()
        self.head.precision = "float32"

    def start_inference(self, config: Config) -> None:
        """Set the layers to inference mode."""
        self.eval()
        self.head.precision = config.inference.precision


def to_area(picture: Tensor, side: int) -> Tensor:
    """A picture (3, h, w) with the area side², its aspect kept, at least one pixel high and wide."""
    h, w = picture.shape[1:]
    ratio = (h / w) ** 0.5
    return resized(picture, max(int(side * ratio), 1), max(int(side / ratio), 1))


def resized(picture: Tensor, height: int, width: int) -> Tensor:
    """(3, height, width), with antialiasing."""
    if picture.shape[1:] == (height, width):
        return picture
    return functional.interpolate(picture[None], (height, width), mode="bilinear", antialias=True)[0].clamp(0, 1)
