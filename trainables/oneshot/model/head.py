"""The one-shot head: dense correlation, the transformation of every cell, resampling and scores.

Osokin, Sumin, Lomakin, "OS2D: One-Stage One-Shot Object Detection by Matching Anchor Features", ECCV 2020, arXiv
2003.06800. Symbols: B scenes, K class images, C channels, H x W cells of a scene, G x G cells of a class image, n = G².
Transformations are maps as in `geometry.windows`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainables.oneshot.geometry.windows import Geometry, inner_points, invert, stretch, to_six
from trainables.oneshot.model.spectral import TiledConv2d
from trainables.oneshot.registry import require_same_names

Transform = Literal["identity", "affine4", "affine6", "affine6_inverse"]
Precision = Literal["float32", "bfloat16"]
_FEATURE_EPS, _CORRELATION_EPS = 1e-5, 1e-6


@dataclass(frozen=True)
class Matches:
    """The output of the head for every cell.

    Args:
        scores: (B, K, H, W) in [-1, 1].
        detached: the same numbers, without a gradient to the transformations; None outside training.
        maps: (B, K, 6, H, W) transformations.
    """

    scores: Tensor
    detached: Tensor | None
    maps: Tensor


def normalise(features: Tensor) -> Tensor:
    """(N, C, H, W) features divided by their length along C."""
    unit: Tensor = features / (features.norm(dim=1, keepdim=True) + _FEATURE_EPS)
    return unit


def correlate(classes: Tensor, scenes: Tensor) -> Tensor:
    """(B, K, n, H, W) inner products of every class cell (K, C, G, G) with every scene cell (B, C, H, W)."""
    k, c, g, _ = classes.shape
    cells = classes.transpose(2, 3).flatten(2).transpose(1, 2).reshape(k * g * g, c)
    return (cells @ scenes.flatten(2)).view(len(scenes), k, g * g, *scenes.shape[2:])


class TransformNet(nn.Module):
    """Three convolutions that predict transformations from a correlation map; initially the identity everywhere.

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
            identity = torch.tensor([1.0, 0, 1, 0] if outputs == 4 else [1.0, 0, 0, 0, 1, 0])
            self.linear.bias = nn.Parameter(identity)

    def forward(self, correlation: Tensor) -> Tensor:
        """(N, n, H, W) correlation to (N, outputs, H, W)."""
        positive = correlation.relu()
        parameters: Tensor = self.linear(self.conv(positive / (positive.norm(dim=1, keepdim=True) + _CORRELATION_EPS)))
        return parameters


def resample(correlation: Tensor, maps: Tensor, geometry: Geometry) -> Tensor:
    """Scores (N, H, W): the mean over class cells of the correlation at their transformed positions.

    Each class cell is sampled from its own channel, bilinearly, with repeated edges. The channels are folded into the
    batch, so that float32 is precise enough.

    Args:
        correlation: (N, n, H, W).
        maps: (N, 6, H, W).
    """
    n, _, h, w = correlation.shape
    channels, x, y = inner_points(geometry, maps)
    half, offset = geometry.sampling_grid
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


class TransformKind(NamedTuple):
    """How a window may change: the number of predicted parameters, and whether their map is inverted."""

    outputs: int
    inverse: bool


TRANSFORMS = {
    "identity": TransformKind(0, False),
    "affine4": TransformKind(4, False),  # scale and shift along x and y
    "affine6": TransformKind(6, False),  # any affine map
    "affine6_inverse": TransformKind(6, True),  # the direction that weakalign's weights predict
}
require_same_names("model.transform", Transform, TRANSFORMS)


class Head(nn.Module):
    """Scores and transformations of every class at every cell.

    Args:
        geometry: of the windows.
        transform: a name in TRANSFORMS: how a window may change.
        precision: of TransformNet's arithmetic; "bfloat16" computes it in autocast.
    """

    def __init__(self, geometry: Geometry, transform: Transform, precision: Precision) -> None:
        super().__init__()
        self.geometry, self.kind, self.precision = geometry, TRANSFORMS[transform], precision
        self.transform = TransformNet(geometry.grid, self.kind.outputs) if self.kind.outputs else None

    def forward(self, classes: Tensor, scenes: Tensor, aspect: Tensor, detached: bool = False) -> Matches:
        """Match normalised class grids (K, C, G, G) with normalised scene maps (B, C, H, W).

        Args:
            classes: unit features of class images.
            scenes: unit features of scenes.
            aspect: (K, 2) initial stretch of each class's window; ones for squares.
            detached: also return the scores without a gradient to the transformations.
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
        return invert(maps) if self.kind.inverse else maps
