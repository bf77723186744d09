"""The one-shot head: dense correlation, the transformation of every cell, resampling, scores and boxes.

Osokin, Sumin, Lomakin, "OS2D: One-Stage One-Shot Object Detection by Matching Anchor Features", ECCV 2020, arXiv
2003.06800. Symbols: B scenes, K class images, C channels, H x W cells of a scene, G x G cells of a class image, n = G².
A transformation is an affine map x' = p0 x + p1 y + p2, y' = p3 x + p4 y + p5 of the square [-1, 1]², which stands for
the anchor of its cell. Channels of a correlation map are column by column: v * G + u for row u and column v.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainables.oneshot.model.spectral import TiledConv2d

Sampling = Literal["exact", "reference"]
Transform = Literal["identity", "affine4", "affine6", "affine6_inverse"]
STRIDE = 16
_FEATURE_EPS, _CORRELATION_EPS, _SMALLEST_DET = 1e-5, 1e-6, 1e-6


@dataclass(frozen=True)
class Geometry:
    """How class grids lie in scenes.

    Args:
        grid: G, cells along a side of the class grid and of an anchor; odd, so that an anchor is centred on its cell.
        border: rings of the class grid that do not count in the score.
        sampling: "exact" compares the class grid with equally many neighbouring cells; "reference" is the published
            code's grid, stretched by G / (G - 1) and shifted by half a cell, which published weights were trained with.
    """

    grid: int = 15
    border: int = 2
    sampling: Sampling = "exact"

    @property
    def side(self) -> int:
        """Pixels along a side of a square anchor."""
        return STRIDE * self.grid


@dataclass(frozen=True)
class Matches:
    """What the head says of every cell.

    Args:
        scores: (B, K, H, W) in [-1, 1].
        detached: the same numbers, through which no gradient reaches the transformations; None outside training.
        maps: (B, K, 6, H, W) transformations.
    """

    scores: Tensor
    detached: Tensor | None
    maps: Tensor


def normalise(features: Tensor) -> Tensor:
    """(N, C, H, W) features over their length along C."""
    return features / (features.norm(dim=1, keepdim=True) + _FEATURE_EPS)


def correlate(classes: Tensor, scenes: Tensor) -> Tensor:
    """(B, K, n, H, W) inner products of every class cell (K, C, G, G) with every scene cell (B, C, H, W)."""
    k, c, g, _ = classes.shape
    cells = classes.transpose(2, 3).flatten(2).transpose(1, 2).reshape(k * g * g, c)
    return (cells @ scenes.flatten(2)).view(len(scenes), k, g * g, *scenes.shape[2:])


class TransformNet(nn.Module):
    """Three convolutions that read a transformation off a correlation map; at first it says identity everywhere.

    Parameter names are those of the published weights (`...parameter_regressor.<name>`).

    Args:
        grid: G.
        outputs: 4 (a, tx, c, ty) or 6 (p0 .. p5).
    """

    def __init__(self, grid: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            TiledConv2d(grid * grid, 128, 7, padding=3), nn.BatchNorm2d(128), nn.ReLU(inplace=True),
            nn.Conv2d(128, 64, 5, padding=2), nn.BatchNorm2d(64), nn.ReLU(inplace=True),
        )  # fmt: skip
        self.linear = nn.Conv2d(64, outputs, 5, padding=2)
        nn.init.zeros_(self.linear.weight)
        with torch.no_grad():
            self.linear.bias.copy_(torch.tensor([1.0, 0, 1, 0] if outputs == 4 else [1.0, 0, 0, 0, 1, 0]))

    def forward(self, correlation: Tensor) -> Tensor:
        """(N, n, H, W) correlation to (N, outputs, H, W)."""
        positive = correlation.relu()
        return self.linear(self.conv(positive / (positive.norm(dim=1, keepdim=True) + _CORRELATION_EPS)))


def to_six(parameters: Tensor) -> Tensor:
    """(N, 4 or 6, ...) parameters as p0 .. p5."""
    if parameters.shape[1] == 6:
        return parameters
    a, tx, c, ty = parameters.unbind(1)
    zero = torch.zeros_like(a)
    return torch.stack([a, zero, tx, zero, c, ty], 1)


def invert(maps: Tensor) -> Tensor:
    """The inverse affine maps of (N, 6, ...), in closed form; a determinant counts as 1e-6 in size at least."""
    p0, p1, p2, p3, p4, p5 = maps.unbind(1)
    det = p0 * p4 - p1 * p3
    det = torch.where(det < 0, det.clamp(max=-_SMALLEST_DET), det.clamp(min=_SMALLEST_DET))
    q0, q1, q3, q4 = p4 / det, -p1 / det, -p3 / det, p0 / det
    return torch.stack([q0, q1, -(q0 * p2 + q1 * p5), q3, q4, -(q3 * p2 + q4 * p5)], 1)


def stretch(maps: Tensor, aspect: Tensor) -> Tensor:
    """Maps (B, K, 6, H, W) after a first stretch by the aspect (K, 2) of each class, along x and y."""
    x, y = aspect[:, 0], aspect[:, 1]
    one = torch.ones_like(x)
    return maps * torch.stack([x, y, one, x, y, one], 1)[None, :, :, None, None]


def aspect_of(width: float, height: float) -> tuple[float, float]:
    """(sqrt(w/h), sqrt(h/w)), each between 1/2 and 2: the window of a class image's shape with a square's area."""
    ratio = (width / height) ** 0.5
    return min(max(ratio, 0.5), 2.0), min(max(1 / ratio, 0.5), 2.0)


def inner_points(geometry: Geometry, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Channel, x and y (each (m,)) of the class cells that count in the score, in the order of channels."""
    g, b = geometry.grid, geometry.border
    lines = torch.linspace(-1, 1, g, dtype=like.dtype, device=like.device)
    index = torch.arange(b, g - b, device=like.device)
    columns, rows = index.repeat_interleave(len(index)), index.repeat(len(index))
    return columns * g + rows, lines[columns], lines[rows]


def resample(correlation: Tensor, maps: Tensor, geometry: Geometry) -> Tensor:
    """Scores (N, H, W): the mean over class cells of the correlation where the transformation puts each of them.

    A class cell is sampled from its own channel alone, bilinearly, edges repeated. The channel is folded into the
    batch, so that float32 is enough.

    Args:
        correlation: (N, n, H, W).
        maps: (N, 6, H, W).
    """
    n, _, h, w = correlation.shape
    channels, x, y = inner_points(geometry, maps)
    half, offset = ((geometry.grid - 1) / 2, 0.0) if geometry.sampling == "exact" else (geometry.grid / 2, 0.5)
    column = torch.arange(w, dtype=maps.dtype, device=maps.device) + offset
    row = torch.arange(h, dtype=maps.dtype, device=maps.device)[:, None] + offset
    x_unit, y_unit = 2 / max(w - 1, 1), 2 / max(h - 1, 1)
    p0, p1, p2, p3, p4, p5 = maps[:, :, None].unbind(1)  # each (N, 1, H, W)
    x, y = x[:, None, None], y[:, None, None]
    grid = torch.stack(
        [
            (half * x_unit) * (p0 * x + p1 * y) + ((half * p2 + column) * x_unit - 1),
            (half * y_unit) * (p3 * x + p4 * y) + ((half * p5 + row) * y_unit - 1),
        ],
        -1,
    )
    picked = correlation[:, channels] if geometry.border else correlation
    sampled = functional.grid_sample(
        picked.reshape(-1, 1, h, w), grid.reshape(-1, h, w, 2), padding_mode="border", align_corners=True
    )
    return sampled.view(n, -1, h, w).mean(1)


def anchors(height: int, width: int, grid: int, aspect: Tensor) -> Tensor:
    """(K, H * W, 4) anchors in pixels, row by row: 16 G wide and high, times the class's aspect (K, 2)."""
    x = STRIDE * (torch.arange(width, dtype=aspect.dtype, device=aspect.device) + 0.5)
    y = STRIDE * (torch.arange(height, dtype=aspect.dtype, device=aspect.device) + 0.5)
    centre = torch.stack([x.expand(height, width), y[:, None].expand(height, width)], -1).reshape(-1, 2)
    half = aspect[:, None] * (STRIDE * grid / 2)
    return torch.cat([centre - half, centre + half], -1)


def boxes_of(maps: Tensor, grid: int) -> Tensor:
    """(B, K, H * W, 4) bounding boxes, in pixels, of the transformed anchors; exact, without looking at the points."""
    b, k, _, h, w = maps.shape
    p0, p1, p2, p3, p4, p5 = maps.unbind(2)
    half = STRIDE * grid / 2
    column = STRIDE * (torch.arange(w, dtype=maps.dtype, device=maps.device) + 0.5)
    row = STRIDE * (torch.arange(h, dtype=maps.dtype, device=maps.device)[:, None] + 0.5)
    x, y = column + half * p2, row + half * p5
    across, down = half * (p0.abs() + p1.abs()), half * (p3.abs() + p4.abs())
    return torch.stack([x - across, y - down, x + across, y + down], -1).view(b, k, h * w, 4)


def corners_of(maps: Tensor, grid: int) -> Tensor:
    """(B, K, H * W, 8) corners x, y of the parallelograms, clockwise on screen from the class's upper left one."""
    b, k, _, h, w = maps.shape
    p0, p1, p2, p3, p4, p5 = maps.unbind(2)
    half = STRIDE * grid / 2
    column = STRIDE * (torch.arange(w, dtype=maps.dtype, device=maps.device) + 0.5)
    row = STRIDE * (torch.arange(h, dtype=maps.dtype, device=maps.device)[:, None] + 0.5)
    found = []
    for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
        found += [column + half * (p0 * x + p1 * y + p2), row + half * (p3 * x + p4 * y + p5)]
    return torch.stack(found, -1).view(b, k, h * w, 8)


class Head(nn.Module):
    """Scores and transformations of every class at every cell.

    Args:
        transform: what may be done to a window: nothing, scale and shift, any affine map, or the inverse of the
            predicted affine map (the direction that weakalign's weights predict).
        precision: of TransformNet's arithmetic; "bfloat16" computes it in autocast.
    """

    def __init__(self, geometry: Geometry, transform: Transform, precision: Literal["float32", "bfloat16"]) -> None:
        super().__init__()
        self.geometry, self.kind, self.precision = geometry, transform, precision
        outputs = 4 if transform == "affine4" else 6
        self.transform = None if transform == "identity" else TransformNet(geometry.grid, outputs)

    def forward(self, classes: Tensor, scenes: Tensor, aspect: Tensor, detached: bool = False) -> Matches:
        """Match normalised class grids (K, C, G, G) with normalised scene maps (B, C, H, W).

        Args:
            aspect: (K, 2) first stretch of each class's window; ones for squares.
            detached: also give the scores through which no gradient reaches the transformations.
        """
        correlation = correlate(classes, scenes)
        b, k, n, h, w = correlation.shape
        flat = correlation.view(b * k, n, h, w)
        maps = stretch(self._maps(flat).view(b, k, 6, h, w), aspect)
        folded = maps.view(b * k, 6, h, w)
        scores = resample(flat, folded, self.geometry).view(b, k, h, w)
        apart = resample(flat, folded.detach(), self.geometry).view(b, k, h, w) if detached else None
        return Matches(scores, apart, maps)

    def _maps(self, correlation: Tensor) -> Tensor:
        n, _, h, w = correlation.shape
        if self.transform is None:
            one = correlation.new_tensor([1.0, 0, 0, 0, 1, 0])
            return one[None, :, None, None].expand(n, 6, h, w)
        low = self.precision == "bfloat16"
        with torch.autocast(correlation.device.type, torch.bfloat16, enabled=low):
            predicted = self.transform(correlation)
        maps = to_six(predicted.to(correlation.dtype))
        return invert(maps) if self.kind == "affine6_inverse" else maps
