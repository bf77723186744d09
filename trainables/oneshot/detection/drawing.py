"""Detections drawn on their scene: boxes, parallelograms, scores, and the class images beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito, "Color Universal Design" (2008), without black.
COLOURS = ("#D55E00", "#0072B2", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#F0E442")
_WIDTH, _COLUMN = 7.0, 0.24  # inches; share of the width for class images
_MOST_INSETS = 8
_LONGEST = 22  # letters of a class's name in a figure


@dataclass(frozen=True)
class Shown:
    """One detection to draw, in pixels of the stored scene: box (4 numbers), corners (8 numbers)."""

    label: str
    score: float
    box: Sequence[float]
    corners: Sequence[float]


def short(name: str) -> str:
    """A class's name, shortened to fit beside a picture."""
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"


def draw(
    scene: Image.Image,
    detections: Sequence[Shown],
    class_images: Mapping[str, Image.Image],
    objects: Sequence[Sequence[float]] = (),
) -> Figure:
    """A figure of one scene.

    Full lines are boxes, thin ones the transformed windows, dashed white ones the objects. Each class has a colour,
    which frames its class image at the side; a class without one is named at its boxes.

    Args:
        scene: the picture.
        detections: to draw, in its pixels.
        class_images: class -> picture.
        objects: boxes (4 numbers) of the objects in the scene.
    """
    from matplotlib.figure import Figure

    labels = list(dict.fromkeys([*class_images, *(each.label for each in detections)]))
    colour = {label: COLOURS[i % len(COLOURS)] for i, label in enumerate(labels)}
    shown = [label for label in labels if label in class_images][:_MOST_INSETS]
    share = 1 - _COLUMN if shown else 1.0
    figure = Figure(figsize=(_WIDTH, max(_WIDTH * share * scene.height / scene.width, 1.5)))
    axes = figure.add_axes((0, 0, share, 1))
    axes.imshow(scene)
    axes.axis("off")
    for x0, y0, x1, y1 in objects:
        axes.plot([x0, x1, x1, x0, x0], [y0, y0, y1, y1, y0], color="white", lw=2.2, alpha=0.7)
        axes.plot([x0, x1, x1, x0, x0], [y0, y0, y1, y1, y0], color="black", lw=0.9, ls=(0, (4, 3)))
    for each in sorted(detections, key=lambda one: one.score):
        named = "" if each.label in class_images else f" {short(each.label)}"
        _draw_one(axes, each, colour[each.label], f"{each.score:.2f}{named}")
    axes.set_xlim(0, scene.width)
    axes.set_ylim(scene.height, 0)
    for i, label in enumerate(shown):
        count = sum(each.label == label for each in detections)
        inset = _inset(figure, share, i, 1.0 / max(len(shown), 3))
        _draw_class(inset, class_images[label], colour[label], f"{short(label)}: {count}")
    return figure


def _inset(figure: Figure, share: float, i: int, step: float) -> Axes:
    """Axes number i in the column of class images, `step` of the figure's height each."""
    return figure.add_axes((share + 0.015, 1 - (i + 1) * step + 0.16 * step, _COLUMN - 0.03, step * 0.72))


def _draw_class(axes: Axes, picture: Image.Image, colour: str, caption: str) -> None:
    axes.imshow(picture)
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set(visible=True, color=colour, linewidth=2.5)
    axes.set_xlabel(caption, color="black", fontsize=8, labelpad=3)


def _draw_one(axes: Axes, each: Shown, colour: str, text: str) -> None:
    x0, y0, x1, y1 = each.box
    axes.plot([x0, x1, x1, x0, x0], [y0, y0, y1, y1, y0], color=colour, lw=1.8)
    xs, ys = [*each.corners[::2], each.corners[0]], [*each.corners[1::2], each.corners[1]]
    axes.plot(xs, ys, color=colour, lw=0.8, alpha=0.8)
    style = {"facecolor": colour, "edgecolor": "none", "pad": 1.0, "alpha": 0.85}
    axes.text(x0 + 2, y0 + 2, text, color="white", fontsize=6.5, va="top", ha="left", bbox=style)
