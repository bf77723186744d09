"""Windows: how the grid of a class image lies in a scene, anchors, and affine maps of anchors to boxes.

Symbols: B scenes, K class images, H x W cells of a scene, G x G cells of a class image. A map (p0 .. p5) is the affine
transformation x' = p0 x + p1 y + p2, y' = p3 x + p4 y + p5 of the square [-1, 1]², which represents the anchor of its
cell. Channels of a correlation map are ordered column by column: v * G + u for row u and column v.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, assert_never

import torch
from torch import Tensor

Sampling = Literal["exact", "reference"]
STRIDE = 16  # pixels along a side of a cell
_SMALLEST_DET = 1e-6


@dataclass(frozen=True)
class Geometry:
    """The positions of class grids in scenes.

    Args:
        grid: G, cells along a side of the class grid and of an anchor; odd, so that an anchor is centred on its cell.
        border: rings of the class grid that the score ignores.
        sampling: "exact" compares the class grid with as many neighbouring cells; "reference" is the published code's
            grid, stretched by G / (G - 1) and shifted by half a cell, with which published weights were trained.
    """

    grid: int = 15
    border: int = 2
    sampling: Sampling = "exact"

    @property
    def side(self) -> int:
        """Pixels along a side of a square anchor."""
        return STRIDE * self.grid

    @property
    def sampling_grid(self) -> tuple[float, float]:
        """Half the extent of the sampled grid, and its shift, both in cells."""
        match self.sampling:
            case "exact":
                return (self.grid - 1) / 2, 0.0
            case "reference":
                return self.grid / 2, 0.5
            case _:
                assert_never(self.sampling)


def to_six(parameters: Tensor) -> Tensor:
    """(N, 4 or 6, ...) parameters as maps (N, 6, ...)."""
    if parameters.shape[1] == 6:
        return parameters
    a, tx, c, ty = parameters.unbind(1)
    zero = torch.zeros_like(a)
    return torch.stack([a, zero, tx, zero, c, ty], 1)


def invert(maps: Tensor) -> Tensor:
    """The inverse affine maps of (N, 6, ...), in closed form; determinants are at least 1e-6 in size."""
    p0, p1, p2, p3, p4, p5 = maps.unbind(1)
    det = p0 * p4 - p1 * p3
    det = torch.where(det < 0, det.clamp(max=-_SMALLEST_DET), det.clamp(min=_SMALLEST_DET))
    q0, q1, q3, q4 = p4 / det, -p1 / det, -p3 / det, p0 / det
    return torch.stack([q0, q1, -(q0 * p2 + q1 * p5), q3, q4, -(q3 * p2 + q4 * p5)], 1)


def stretch(maps: Tensor, aspect: Tensor) -> Tensor:
    """Maps (B, K, 6, H, W) applied after a stretch by each class's aspect (K, 2), along x and y."""
    x, y = aspect[:, 0], aspect[:, 1]
    one = torch.ones_like(x)
    return maps * torch.stack([x, y, one, x, y, one], 1)[None, :, :, None, None]


def aspect_of(width: float, height: float) -> tuple[float, float]:
    """(sqrt(w/h), sqrt(h/w)), each between 1/2 and 2: the aspect of a class image, at the area of a square."""
    ratio = (width / height) ** 0.5
    return min(max(ratio, 0.5), 2.0), min(max(1 / ratio, 0.5), 2.0)


def inner_points(geometry: Geometry, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Channel, x and y (each (m,)) of the class cells in the score, in the order of channels."""
    g, b = geometry.grid, geometry.border
    lines = torch.linspace(-1, 1, g, dtype=like.dtype, device=like.device)
    index = torch.arange(b, g - b, device=like.device)
    columns, rows = index.repeat_interleave(len(index)), index.repeat(len(index))
    return columns * g + rows, lines[columns], lines[rows]


def anchors(height: int, width: int, grid: int, aspect: Tensor) -> Tensor:
    """(K, H * W, 4) anchors in pixels, row by row: 16 G wide and high, times the class's aspect (K, 2)."""
    x = STRIDE * (torch.arange(width, dtype=aspect.dtype, device=aspect.device) + 0.5)
    y = STRIDE * (torch.arange(height, dtype=aspect.dtype, device=aspect.device) + 0.5)
    centre = torch.stack([x.expand(height, width), y[:, None].expand(height, width)], -1).reshape(-1, 2)
    half = aspect[:, None] * (STRIDE * grid / 2)
    return torch.cat([centre - half, centre + half], -1)


def boxes_of(maps: Tensor, grid: int) -> Tensor:
    """(B, K, H * W, 4) bounding boxes, in pixels, of the transformed anchors; exact, in closed form."""
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
