"""Scenes of product pictures pasted on shop photos, with exact boxes; reproducible by (seed, index).

Icons are cut out by their alpha, or by flood fill from the corners. "easy": small rotations and tints; "hard": large
ones, half of the objects partly covered, and unlabelled objects of other classes.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter, ImageOps
from scipy import ndimage

from raybayes.errors import DataError
from trainables.oneshot.config import Preset
from trainables.oneshot.data.annotations import SUFFIXES
from trainables.oneshot.data.draws import Draws
from trainables.oneshot.data.records import BROKEN, ClassImage, Collection, Picture, Scene, encoded
from trainables.oneshot.registry import require_same_names

_NOVEL, _VAL = 25 / 81, 11 / 81  # shares of the classes for the final test, and for searches
_FEWEST = 8  # classes; with fewer a share is 0
_TOLERANCE, _TRIES, _MOST_OVERLAP, _VISIBLE = 24, 25, 0.02, 0.5
_TINT = (0.7, 1.3)
_SPLIT_SEED = 2003_06800  # the classes are the same for every run


@dataclass(frozen=True)
class Style:
    """How objects may differ from their class image.

    Args:
        turn: largest rotation, degrees to either side.
        aspect: range of width / height, relative.
        colour: range of the saturation's factor; brightness and contrast change by 0.7 to 1.3.
        blur: largest radius, pixels.
        covered: share of objects that a patch of 35 % x 35 % of their sides covers.
        distractors: unlabelled objects of other classes.
    """

    turn: float
    aspect: tuple[float, float]
    colour: tuple[float, float]
    blur: float
    covered: float
    distractors: int


STYLES = {
    "easy": Style(12, (0.85, 1.18), (0.7, 1.3), 1.2, 0.0, 0),
    "hard": Style(30, (0.6, 1.67), (0.2, 1.5), 2.0, 0.5, 2),
}

require_same_names("synth.preset", Preset, STYLES)


@dataclass(frozen=True)
class Layout:
    """Side of a scene in pixels, number of its objects, and range of the sqrt(area) of an object in pixels."""

    side: int = 320
    objects: int = 5
    smallest: float = 48.0
    largest: float = 112.0


@dataclass(frozen=True)
class Icon:
    """A class: its cut-out (RGBA, cropped to content)."""

    name: str
    cut_out: Image.Image


@dataclass(frozen=True)
class Material:
    """Icons, roles by class, and backgrounds without excluded classes."""

    icons: tuple[Icon, ...]
    backgrounds: tuple[Image.Image, ...]
    roles: dict[str, str]


def cut_out(icon: Image.Image) -> Image.Image:
    """RGBA, cropped to content: by its alpha, else without the area of a corner's colour that touches the corner.

    Raises:
        ValueError: nothing is left.
    """
    found = icon.convert("RGB")
    alpha = icon.convert("RGBA").getchannel("A")
    if alpha.getextrema()[0] == 255:
        alpha = _without_ground(found)
    if (content := alpha.point(lambda value: 255 if value > 127 else 0).getbbox()) is None:
        raise ValueError("it contains only its ground")
    found.putalpha(alpha)
    return found.crop(content)


def _without_ground(icon: Image.Image) -> Image.Image:
    pixels = np.array(icon, np.int16)
    outside = np.zeros(pixels.shape[:2], bool)
    for y, x in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
        parts, _ = ndimage.label(np.abs(pixels - pixels[y, x]).max(-1) <= _TOLERANCE)
        outside |= parts == parts[y, x]
    return Image.fromarray(np.where(outside, 0, 255).astype(np.uint8)).filter(ImageFilter.MinFilter(3))


def read_material(table: pa.Table, folder: Path | None = None) -> Material:
    """Icons by class, their roles by a fixed shuffle, and the shop photos for backgrounds.

    Args:
        table: of grocery-sample.
        folder: pictures to use as icons instead of its products, one per class.

    Raises:
        DataError: the folder is missing, has too few pictures, or one that cannot be cut out.
    """
    rows = table.to_pylist()
    icons = _products(rows) if folder is None else _icons(folder)
    names = sorted(icons)
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(_SPLIT_SEED)).tolist()
    novel, val = round(_NOVEL * len(names)), round(_VAL * len(names))
    roles = {names[at]: "novel" if i < novel else "val" if i < novel + val else "base" for i, at in enumerate(order)}
    photos = tuple(
        Image.open(io.BytesIO(row["image"])).convert("RGB")
        for row in rows
        if row["kind"] == "background" and roles.get(row["name"], "base") == "base"
    )
    return Material(tuple(icons[name] for name in names), photos, roles)


def _products(rows: Sequence[Mapping[str, Any]]) -> dict[str, Icon]:
    """The products; ten icons without a group of the source are left out, since they show the same products."""
    return {
        row["name"]: Icon(row["name"], cut_out(Image.open(io.BytesIO(row["image"]))))
        for row in rows
        if row["kind"] == "icon" and not row["group"].endswith(".jpg")
    }


def _icons(folder: Path) -> dict[str, Icon]:
    if not folder.is_dir():
        raise DataError(f"synth.icons: the folder {folder} does not exist; give one with <class>.png.")
    files = sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES)
    if len(files) < _FEWEST:
        raise DataError(
            f"synth.icons: too few pictures in {folder}: {len(files)}; give {_FEWEST} or more, one per class."
        )
    icons = {}
    for path in files:
        try:
            with Image.open(path) as picture:
                icons[path.stem] = Icon(path.stem, cut_out(ImageOps.exif_transpose(picture)))
        except BROKEN as error:
            raise DataError(
                f"synth.icons: {path} cannot be cut out ({type(error).__name__}: {error}); replace it by a picture with"
                " an alpha channel or a plain ground."
            ) from None
    return icons


def make_scene(
    material: Material, labelled: Sequence[str], preset: Preset, layout: Layout, seed: int, index: int
) -> Scene:
    """One scene; the same arguments give the same bytes.

    Args:
        material: icons and backgrounds.
        labelled: classes whose objects get boxes; distractors come from the other base classes.
        preset: a name in STYLES.
        layout: sizes and number of objects.
        seed, index: of the scene.
    """
    style = STYLES[preset]
    draws = Draws(torch.Generator().manual_seed((seed * 1_000_003 + index) % 2**63))
    canvas = _background(material.backgrounds, layout.side, draws)
    icons = {icon.name: icon for icon in material.icons}
    placed: list[NDArray[np.float64]] = []
    boxes, labels, difficult = [], [], []
    chosen = [labelled[draws.integer(len(labelled))] for _ in range(layout.objects)]
    others = [name for name in icons if name not in chosen and material.roles[name] == "base"]
    extra = [others[draws.integer(len(others))] for _ in range(style.distractors)] if others else []
    for i, name in enumerate([*extra, *chosen]):
        sprite = _sprite(icons[name].cut_out, style, layout, draws)
        at = _place(sprite, placed, layout.side, draws)
        if at is None:
            continue
        visible = _paste(canvas, sprite, at, style, draws)
        placed.append(np.array([*at, at[0] + sprite.width, at[1] + sprite.height], float))
        if i >= len(extra):
            boxes.append(placed[-1].tolist())
            labels.append(name)
            difficult.append(visible < _VISIBLE)
    name = f"{preset}/{seed}/{index}"
    return Scene(
        name, Picture(name, encoded(canvas)), layout.side, layout.side,
        torch.tensor(boxes, dtype=torch.float32).view(-1, 4), tuple(labels), torch.tensor(difficult, dtype=torch.bool),
    )  # fmt: skip


def _background(photos: Sequence[Image.Image], side: int, draws: Draws) -> Image.Image:
    photo = photos[draws.integer(len(photos))]
    edge = int(min(photo.size) * draws.uniform(0.6, 1.0))
    left, top = draws.integer(photo.width - edge + 1), draws.integer(photo.height - edge + 1)
    return photo.crop((left, top, left + edge, top + edge)).resize((side, side), Image.Resampling.BICUBIC)


def _sprite(icon: Image.Image, style: Style, layout: Layout, draws: Draws) -> Image.Image:
    """The object to paste: resized, tinted, blurred, rotated, cropped to its alpha."""
    size = draws.uniform(layout.smallest, layout.largest)
    stretch = draws.ratio(*style.aspect) ** 0.5
    scale = size / (icon.width * icon.height) ** 0.5
    wide, high = max(round(icon.width * scale * stretch), 4), max(round(icon.height * scale / stretch), 4)
    shrink = min(1.0, 0.9 * layout.side / max(wide, high))
    sized = icon.resize((max(int(wide * shrink), 4), max(int(high * shrink), 4)), Image.Resampling.BICUBIC)
    colour, alpha = sized.convert("RGB"), sized.getchannel("A")
    for enhance, span in (
        (ImageEnhance.Brightness, _TINT),
        (ImageEnhance.Contrast, _TINT),
        (ImageEnhance.Color, style.colour),
    ):
        colour = enhance(colour).enhance(draws.uniform(*span))
    colour = colour.filter(ImageFilter.GaussianBlur(draws.uniform(0, style.blur)))
    colour.putalpha(alpha)
    turned = colour.rotate(draws.uniform(-style.turn, style.turn), Image.Resampling.BICUBIC, expand=True)
    return turned.crop(turned.getchannel("A").point(lambda value: 255 if value > 127 else 0).getbbox())


def _place(sprite: Image.Image, placed: list[NDArray[np.float64]], side: int, draws: Draws) -> tuple[int, int] | None:
    """A corner at which the object overlaps no other by more than 2 % IoU; None after 25 tries."""
    if sprite.width > side or sprite.height > side:
        return None
    for _ in range(_TRIES):
        x, y = draws.integer(side - sprite.width + 1), draws.integer(side - sprite.height + 1)
        box = np.array([x, y, x + sprite.width, y + sprite.height], float)
        if all(_iou(box, other) < _MOST_OVERLAP for other in placed):
            return x, y
    return None


def _iou(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    shared = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None).prod()
    return float(shared / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - shared))


def _paste(canvas: Image.Image, sprite: Image.Image, at: tuple[int, int], style: Style, draws: Draws) -> float:
    """Draw the object, and possibly a patch over it; return its visible share."""
    alpha = sprite.getchannel("A")
    canvas.paste(sprite.convert("RGB"), at, alpha.filter(ImageFilter.GaussianBlur(0.7)))
    if draws.uniform(0, 1) >= style.covered:
        return 1.0
    wide, high = int(0.35 * sprite.width), int(0.35 * sprite.height)
    x, y = draws.integer(sprite.width - wide + 1), draws.integer(sprite.height - high + 1)
    colour = tuple(draws.integer(256) for _ in range(3))
    canvas.paste(colour, (at[0] + x, at[1] + y, at[0] + x + wide, at[1] + y + high))
    solid = np.array(alpha) > 127
    return 1.0 - float(solid[y : y + high, x : x + wide].sum() / max(solid.sum(), 1))


def synthesise(
    material: Material, preset: Preset, layout: Layout, train: int, test: int, seed: int, val_only: bool
) -> Collection:
    """Training scenes with base and val classes, and test scenes with the excluded classes.

    Args:
        material: icons and backgrounds.
        preset: a name in STYLES.
        layout: sizes and number of objects.
        train, test: numbers of scenes.
        seed: of all scenes.
        val_only: test scenes contain val classes, training scenes only base classes; otherwise test scenes contain
            novel classes, and training scenes also val classes.
    """
    of = {role: sorted(n for n, r in material.roles.items() if r == role) for role in ("base", "val", "novel")}
    trained, judged = (of["base"], of["val"]) if val_only else (of["base"] + of["val"], of["novel"])
    scenes = {
        "train": tuple(make_scene(material, trained, preset, layout, 2 * seed, i) for i in range(train)),
        "test": tuple(make_scene(material, judged, preset, layout, 2 * seed + 1, i) for i in range(test)),
    }
    return Collection(scenes, {icon.name: (_class_image(icon),) for icon in material.icons}, material.roles)


def _class_image(icon: Icon) -> ClassImage:
    """The object on a white ground."""
    ground = Image.new("RGB", icon.cut_out.size, (255, 255, 255))
    ground.paste(icon.cut_out.convert("RGB"), (0, 0), icon.cut_out.getchannel("A"))
    buffer = io.BytesIO()
    ground.save(buffer, "PNG")
    return ClassImage(Picture(icon.name, buffer.getvalue()))
