"""The published head's layout, plainly: one class at a time, scene normalised for each, points merged in float64.

Written from the description of the published algorithm (Osokin et al. 2020): the affine maps are applied to all G x G
points, boxes are the extremes of the mapped points, channel and row are merged into one coordinate so that a single
grid_sample in float64 reads every channel, and all points are sampled before the border is masked out.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainables.oneshot.geometry.windows import STRIDE
from trainables.oneshot.model.head import Head, normalise


@torch.no_grad()
def reference_head(head: Head, classes: Tensor, scene: Tensor) -> tuple[Tensor, Tensor]:
    """Scores (K, H, W) and boxes (K, H, W, 4) of class grids (K, C, G, G) in one scene's raw features (1, C, H, W).

    Raises:
        ValueError: the head's sampling is not the published one.
    """
    if head.geometry.sampling != "reference" or head.transform is None:
        raise ValueError("the published layout has sampling = reference and a TransformNet")
    found = [_one_class(head, classes[k : k + 1], scene) for k in range(len(classes))]
    return torch.cat([scores for scores, _ in found]), torch.cat([boxes for _, boxes in found])


def _one_class(head: Head, one: Tensor, scene: Tensor) -> tuple[Tensor, Tensor]:
    g, (h, w) = head.geometry.grid, scene.shape[2:]
    features = normalise(scene)
    kernel = one.transpose(2, 3).reshape(1, one.shape[1], g * g)
    correlation = torch.einsum("bcn,bchw->bnhw", kernel, features)
    predicted = _transform(head, correlation)
    maps = _matrices(predicted, inverse=head.kind.inverse)
    grid = functional.affine_grid(maps, [h * w, 1, g, g], align_corners=True).view(h, w, g, g, 2)
    return _scores(correlation, grid, head.geometry.border), _boxes(grid, g)


def _transform(head: Head, correlation: Tensor) -> Tensor:
    """TransformNet with ordinary convolutions."""
    assert head.transform is not None
    positive = correlation.relu()
    positive = positive / (positive.norm(dim=1, keepdim=True) + 1e-6)
    first, *rest = head.transform.conv
    assert isinstance(first, nn.Conv2d)
    hidden = functional.conv2d(positive, first.weight, first.bias, padding=3)
    for layer in rest:
        hidden = layer(hidden)
    predicted: Tensor = head.transform.linear(hidden)
    return predicted


def _matrices(predicted: Tensor, inverse: bool) -> Tensor:
    """(H * W, 2, 3) affine maps, inverted by batched LU in chunks where that is asked."""
    flat = predicted[0].flatten(1).T
    if flat.shape[1] == 4:
        zero = torch.zeros_like(flat[:, 0])
        flat = torch.stack([flat[:, 0], zero, flat[:, 1], zero, flat[:, 2], flat[:, 3]], 1)
    maps = flat.view(-1, 2, 3)
    if not inverse:
        return maps
    last = torch.tensor([0.0, 0, 1]).expand(len(maps), 1, 3)
    return torch.cat([torch.linalg.inv(part) for part in torch.cat([maps, last], 1).split(65_535)])[:, :2].contiguous()


def _scores(correlation: Tensor, grid: Tensor, border: int) -> Tensor:
    """(1, H, W), every point read in float64 from one long map in which channel and row are one coordinate."""
    g, (h, w) = grid.shape[2], correlation.shape[2:]
    rows = torch.arange(h).view(h, 1, 1, 1) + 0.5
    columns = torch.arange(w).view(1, w, 1, 1) + 0.5
    x = ((grid[..., 0] * g / 2 + columns) / (w - 1) * 2 - 1).clamp(-1, 1)
    y = ((grid[..., 1] * g / 2 + rows) / (h - 1) * 2 - 1).clamp(-1, 1)
    channel = torch.arange(g).view(1, 1, 1, g) * g + torch.arange(g).view(1, 1, g, 1)
    merged = ((y.double() + 1) / 2 * (h - 1) + channel * h) / (h * g * g - 1) * 2 - 1
    points = torch.stack([x.double(), merged], -1).view(1, -1, 1, 2)
    long = correlation.double().view(1, 1, g * g * h, w)
    sampled = functional.grid_sample(long, points, padding_mode="border", align_corners=True).float().view(h, w, g, g)
    mask = torch.zeros(g, g)
    mask[border : g - border, border : g - border] = 1 / (g - 2 * border) ** 2
    return (sampled * mask).sum((-1, -2))[None]


def _boxes(grid: Tensor, g: int) -> Tensor:
    h, w = grid.shape[:2]
    x = grid[..., 0] * STRIDE * g / 2 + STRIDE * (torch.arange(w).view(1, w, 1, 1) + 0.5)
    y = grid[..., 1] * STRIDE * g / 2 + STRIDE * (torch.arange(h).view(h, 1, 1, 1) + 0.5)
    edges = [x.amin((-1, -2)), y.amin((-1, -2)), x.amax((-1, -2)), y.amax((-1, -2))]
    return torch.stack(edges, -1)[None]
