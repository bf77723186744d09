"""Augmented patches of scenes and class images: scale, aspect, cut, flips and colours are random."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from PIL import Image, ImageOps
from torch import Tensor
from torchvision.transforms.v2 import functional as colours

from trainables.oneshot.config import Config
from trainables.oneshot.data.draws import Draws
from trainables.oneshot.data.records import Scene, to_tensor
from trainables.oneshot.geometry.boxes import areas, intersections

_TRIES, _GONE, _DIFFICULT = 100, 0.3, 0.7  # of the published code
_GREY = (127, 127, 127)
_FILTERS = (
    Image.Resampling.NEAREST, Image.Resampling.BOX, Image.Resampling.BILINEAR,
    Image.Resampling.HAMMING, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS,
)  # fmt: skip


@dataclass(frozen=True)
class Patch:
    """A piece of a scene.

    Args:
        pixels: (3, h, w) in [0, 1].
        boxes: (n, 4) in pixels of the patch, not clipped to it.
        labels: of each box.
        difficult: (n,).
    """

    pixels: Tensor
    boxes: Tensor
    labels: tuple[str, ...]
    difficult: Tensor


def draw_window(scene: Scene, scale: float, config: Config, draws: Draws) -> Tensor:
    """(4,) the window of a patch, in pixels of the scene.

    Scale and aspect are drawn around `scale` (patch pixels per scene pixel) until the window contains the required
    share of some box that is not difficult; otherwise the last try is used. A window may be larger than its scene.
    """
    values = config.patch
    clear = scene.boxes[~scene.difficult] if (~scene.difficult).any() else scene.boxes
    window = torch.zeros(4)
    for _ in range(_TRIES):
        factor = draws.uniform(scale * values.scale_jitter, scale / values.scale_jitter)
        aspect = draws.uniform(values.aspect_jitter, 1 / values.aspect_jitter) ** 0.5
        width, height = values.width / (factor * aspect), values.height / (factor / aspect)
        x, y = _start(scene.width, width, draws), _start(scene.height, height, draws)
        window = torch.tensor([x, y, x + width, y + height])
        if len(clear) and bool((_coverage(clear, window) >= values.least_coverage).any()):
            break
    return window


def _start(whole: int, part: float, draws: Draws) -> float:
    free = whole - part
    return draws.uniform(min(free, 0.0), max(free, 0.0))


def _coverage(boxes: Tensor, window: Tensor) -> Tensor:
    return intersections(boxes, window[None])[:, 0] / areas(boxes).clamp(min=1e-6)


def cut(scene: Scene, window: Tensor, width: int, height: int, resample: Image.Resampling) -> Patch:
    """The window of a scene, resized to width x height pixels; grey beyond the edges of the scene.

    Boxes with less than 30 % of their area in the window are dropped; those with less than 70 % become difficult.
    """
    x0, y0, x1, y1 = window.tolist()
    picture = scene.picture.open()
    pads = (max(int(-x0) + 1, 0) if x0 < 0 else 0, max(int(-y0) + 1, 0) if y0 < 0 else 0,
            int(x1 - picture.width) + 1 if x1 > picture.width else 0,
            int(y1 - picture.height) + 1 if y1 > picture.height else 0)  # fmt: skip
    if any(pads):
        picture = ImageOps.expand(picture, pads, _GREY)
    part = (x0 + pads[0], y0 + pads[1], x1 + pads[0], y1 + pads[1])
    pixels = to_tensor(picture.resize((width, height), resample, box=part))
    share = _coverage(scene.boxes, window)
    kept = (share >= _GONE).nonzero()[:, 0]
    factor = torch.tensor([width / (x1 - x0), height / (y1 - y0)]).repeat(2)
    boxes = (scene.boxes[kept] - window[:2].repeat(2)) * factor
    difficult = scene.difficult[kept] | (share[kept] < _DIFFICULT)
    return Patch(pixels, boxes, tuple(scene.labels[i] for i in kept.tolist()), difficult)


def random_patch(scene: Scene, scale: float, config: Config, draws: Draws, window: Tensor | None = None) -> Patch:
    """An augmented patch of a scene, at a random window, or at the one that mining has chosen."""
    chosen = draw_window(scene, scale, config, draws) if window is None else window
    resample = _FILTERS[draws.integer(len(_FILTERS))]
    patch = cut(scene, chosen, config.patch.width, config.patch.height, resample)
    return replace(patch, pixels=distorted(patch.pixels, draws)) if config.patch.colour else patch


def mirrored(patch: Patch, across: bool, down: bool) -> Patch:
    """The patch mirrored left to right, and upside down."""
    height, width = patch.pixels.shape[1:]
    boxes = patch.boxes.clone()
    if across:
        boxes[:, [0, 2]] = width - boxes[:, [2, 0]]
    if down:
        boxes[:, [1, 3]] = height - boxes[:, [3, 1]]
    return replace(patch, pixels=flipped(patch.pixels, across, down), boxes=boxes)


def flipped(pixels: Tensor, across: bool, down: bool) -> Tensor:
    """A picture (3, h, w) mirrored."""
    return pixels.flip([axis for axis, yes in ((2, across), (1, down)) if yes]) if across or down else pixels


def distorted(pixels: Tensor, draws: Draws) -> Tensor:
    """Brightness, contrast, saturation and hue, each changed with probability 1/2 (Liu et al., SSD, 2016)."""
    if draws.coin():
        pixels = (pixels + draws.uniform(-32 / 255, 32 / 255)).clamp(0, 1)
    if draws.coin():
        pixels = (pixels * draws.uniform(0.5, 1.5)).clamp(0, 1)
    if draws.coin():
        pixels = colours.adjust_saturation(pixels, draws.uniform(0.5, 1.5))
    if draws.coin():
        pixels = colours.adjust_hue(pixels, draws.uniform(-0.1, 0.1))
    return pixels


def cropped(pixels: Tensor, draws: Draws) -> Tensor:
    """A class image (3, h, w) without up to a tenth at each edge."""
    h, w = pixels.shape[1:]
    top, bottom, left, right = (int(draws.uniform(0, 0.1) * side) for side in (h, h, w, w))
    return pixels[:, top : h - bottom, left : w - right]
