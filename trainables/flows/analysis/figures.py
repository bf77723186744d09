"""Pictures of a trained flow: samples by class, interpolations between samples, and densities in the plane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from trainables.flows.data.examples import fresh
from trainables.flows.weights import Trained

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INCH = 0.42  # side of one picture
_COLOURS = ("#0072B2", "#D55E00")  # blue and vermillion, which colour-blind readers distinguish


def picture_grid(pictures: Tensor, rows: int, names: list[str]) -> Figure:
    """Rows of small pictures.

    Args:
        pictures: (rows x columns, channels, height, width) uint8, row by row; 1 or 3 channels.
        names: one per row.
    """
    from matplotlib.figure import Figure

    columns = len(pictures) // rows
    _, channels, height, width = pictures.shape
    gap = 1
    canvas = torch.full((3, rows * (height + gap) + gap, columns * (width + gap) + gap), 255, dtype=torch.uint8)
    for number, picture in enumerate(pictures):
        top, left = (number // columns) * (height + gap) + gap, (number % columns) * (width + gap) + gap
        canvas[:, top : top + height, left : left + width] = picture.expand(3, -1, -1) if channels == 1 else picture
    figure = Figure(figsize=(0.6 + columns * _INCH, rows * _INCH), layout="constrained")
    axes = figure.subplots()
    axes.imshow(canvas.movedim(0, -1).numpy(), interpolation="nearest")
    axes.set_yticks([gap + height / 2 + row * (height + gap) for row in range(rows)], names)
    axes.set_xticks([])
    axes.grid(visible=False)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return figure


def plane(trained: Trained, samples: Tensor, labels: Tensor) -> Figure:
    """Two panels for a toy: its points over log p(x), and samples over p(y = 1 | x)."""
    from matplotlib.figure import Figure

    config = trained.config
    data = fresh(config, None, torch.device("cpu"))
    true_x, true_y = data.train.x, data.train.labels
    figure = Figure(figsize=(7.0, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    low, high = true_x.min(0).values - 0.4, true_x.max(0).values + 0.4
    across, up = (torch.linspace(float(low[i]), float(high[i]), 160) for i in (0, 1))
    grid = torch.stack(torch.meshgrid(across, up, indexing="xy"), -1).view(-1, 2)
    with torch.no_grad():
        joint = torch.cat([trained.flow.under_classes(trained.flow.encode(part)) for part in grid.split(8000)])
    extent = (float(low[0]), float(high[0]), float(low[1]), float(high[1]))
    shape = (160, 160)
    density = joint.logsumexp(1).view(shape).clamp_min(-6)
    seen = left.imshow(density.numpy(), origin="lower", extent=extent, cmap="Greys", aspect="auto")
    figure.colorbar(seen, ax=left, label="log p(x), nats")
    _scatter(left, true_x, true_y)
    ringed = true_x[data.labelled].numpy()
    left.scatter(ringed[:, 0], ringed[:, 1], s=36, facecolors="none", edgecolors="black", linewidths=1.0)
    left.set_title(f"training points, the {len(ringed)} labelled ones ringed")
    posterior = joint.softmax(1)[:, 1].view(shape)
    seen = right.imshow(
        posterior.numpy(), origin="lower", extent=extent, cmap="RdBu_r", aspect="auto", alpha=0.5, vmin=0, vmax=1
    )
    figure.colorbar(seen, ax=right, label="p(y = 1 | x)")
    if posterior.min() < 0.5 < posterior.max():
        right.contour(across.numpy(), up.numpy(), posterior.numpy(), levels=[0.5], colors="black", linewidths=1.0)
    _scatter(right, samples, labels)
    right.set(title="samples of the flow, line: p = 0.5", xlim=extent[:2], ylim=extent[2:])
    for axes in (left, right):
        axes.grid(visible=False)
    return figure


def _scatter(axes: Axes, x: Tensor, labels: Tensor) -> None:
    for label, colour in enumerate(_COLOURS):
        mine = x[labels == label]
        axes.scatter(mine[:, 0].numpy(), mine[:, 1].numpy(), s=3, color=colour, linewidths=0)


def between(trained: Trained, columns: int, generator: torch.Generator) -> Tensor:
    """Examples along a great circle between two random latents of each class: (classes x columns, ...)."""
    flow = trained.flow
    labels = torch.arange(flow.classes)
    first, last = (flow.sample(labels, generator) for _ in range(2))
    return flow.interpolate(first, last, labels, columns).flatten(0, 1)


def rows_of(names: Sequence[str]) -> list[str]:
    """Row names of a grid with one row per class."""
    return [f"y = {name}" for name in names]
