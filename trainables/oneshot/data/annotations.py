"""Boxes from users' files: the common form of all formats, and the checks that they share."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from raybayes.errors import DataError
from trainables.oneshot.data.records import ClassImage, Picture, Scene

_SHOWN = 5
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".JPG", ".JPEG", ".PNG")
_EDGE = 1.0  # pixels; in formats that count from 1 the last edge is that far outside


@dataclass(frozen=True)
class Row:
    """One box.

    Args:
        place: inside the annotations, for messages: "line 7" of their file, "a.xml, object 1" of their folder.
        scene: id of its scene.
        label: its class.
        box: (x0, y0, x1, y1), in pixels, or as shares of width and height.
        shares: whether the box is given in shares.
        difficult: such an object counts neither as found nor as missed.
        split: of its scene, "" if the format has none.
    """

    place: str
    scene: str
    label: str
    box: tuple[float, float, float, float]
    shares: bool
    difficult: bool = False
    split: str = ""


@dataclass
class Listing:
    """The content of annotations.

    Args:
        rows: every box, in the order of the file.
        pictures: file of each scene, scenes without boxes included.
        class_files: class -> (place that names its picture, its file), if the format has them.
        splits: split of each scene, if the format also has it for scenes without boxes.
        sizes: width and height of scenes according to their annotations, if the format has them.
    """

    rows: list[Row] = field(default_factory=list)
    pictures: dict[str, Path] = field(default_factory=dict)
    class_files: dict[str, tuple[str, Path]] = field(default_factory=dict)
    splits: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)


class Complaints:
    """Bad rows and pictures: collected, then refused together, or left out and counted.

    Args:
        skip: leave them out.
    """

    def __init__(self, skip: bool) -> None:
        self.skip, self.found = skip, list[str]()

    def add(self, sentence: str) -> None:
        """Record one bad row or picture."""
        self.found.append(sentence)

    def settle(self, source: str) -> tuple[str, ...]:
        """Notes about omitted rows and pictures.

        Raises:
            DataError: nothing may be left out; lists the first problems.
        """
        if not self.found:
            return ()
        more = f" ... and {len(self.found) - _SHOWN} more" if len(self.found) > _SHOWN else ""
        listed = "; ".join(self.found[:_SHOWN]) + more
        if not self.skip:
            raise DataError(
                f"{source}: {listed}. Correct them, or set files.skip_bad = true to leave such rows and pictures out."
            )
        return (f"{source}: left out {len(self.found)}: {listed}",)


def find_picture(folder: Path, name: str) -> Path | None:
    """`folder/name`, or that with a common suffix; None if no such file exists."""
    if (folder / name).is_file():
        return folder / name
    return next((folder / f"{name}{end}" for end in SUFFIXES if (folder / f"{name}{end}").is_file()), None)


def build_scenes(listing: Listing, complaints: Complaints) -> dict[str, list[Scene]]:
    """Scenes by split, with checked boxes in pixels; unusable rows and pictures are added to the complaints."""
    of: dict[str, list[Row]] = defaultdict(list)
    for row in listing.rows:
        of[row.scene].append(row)
    scenes: dict[str, list[Scene]] = defaultdict(list)
    for name, path in listing.pictures.items():
        picture = Picture(str(path), str(path))
        try:
            picture.open() if complaints.skip else None  # only decoding reveals a truncated file
            width, height = picture.size()
        except DataError as error:
            complaints.add(str(error).partition("; replace")[0])
            continue
        if width != height and listing.sizes.get(name) == (height, width):
            complaints.add(
                f"{path}: its boxes refer to {height} x {width} pixels, but the picture is {width} x {height} by its"
                " EXIF orientation; rotate the picture itself, or annotate it again"
            )
            continue
        good = [(row, box) for row in of[name] if (box := _checked(row, width, height, complaints)) is not None]
        split = listing.splits.get(name) or next((row.split for row, _ in good if row.split), "") or "all"
        scenes[split].append(
            Scene(
                name,
                picture,
                width,
                height,
                torch.tensor([box for _, box in good], dtype=torch.float32).view(-1, 4),
                tuple(row.label for row, _ in good),
                torch.tensor([row.difficult for row, _ in good], dtype=torch.bool),
            )
        )
    return scenes


def _checked(row: Row, width: int, height: int, complaints: Complaints) -> tuple[float, ...] | None:
    x0, y0, x1, y1 = row.box
    if row.shares:
        x0, y0, x1, y1 = x0 * width, y0 * height, x1 * width, y1 * height
    shown = f"({row.box[0]:g}, {row.box[1]:g}, {row.box[2]:g}, {row.box[3]:g})"
    if not (x1 > x0 and y1 > y0):
        complaints.add(f"{row.place}: box {shown} has no area; x0 < x1 and y0 < y1 are required")
        return None
    if x0 < -_EDGE or y0 < -_EDGE or x1 > width + _EDGE or y1 > height + _EDGE:
        allowed = "0 .. 1" if row.shares else f"a picture of {width} x {height} pixels"
        complaints.add(f"{row.place}: box {shown} lies outside {allowed}")
        return None
    return max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height))


def class_images_of_files(
    classes: Iterable[str], folder: Path | None, listing: Listing, complaints: Complaints
) -> dict[str, tuple[ClassImage, ...]]:
    """Pictures of classes named by the table, or in the folder: `<class>.<suffix>`, or all in `<class>/`."""
    found: dict[str, tuple[ClassImage, ...]] = {}
    for name in classes:
        paths: Sequence[Path] = ()
        if name in listing.class_files:
            place, path = listing.class_files[name]
            path = folder / path.name if folder is not None and not path.is_file() else path
            if not path.is_file():
                complaints.add(f"{place}: class {name!r} has no class image: {path} does not exist")
                continue
            paths = [path]
        elif folder is not None and (folder / name).is_dir():
            paths = sorted(p for p in (folder / name).iterdir() if p.suffix in SUFFIXES)
        elif folder is not None and (file := find_picture(folder, name)) is not None:
            paths = [file]
        images = []
        for path in paths:
            picture = Picture(str(path), str(path))
            try:
                picture.open()
            except DataError as error:
                complaints.add(str(error).partition("; replace")[0])
                continue
            images.append(ClassImage(picture))
        if images:
            found[name] = tuple(images)
    return found


def largest_crops(scenes: Mapping[str, Sequence[Scene]], classes: Iterable[str]) -> dict[str, tuple[ClassImage, ...]]:
    """The largest box of each class as its class image."""
    best: dict[str, tuple[float, Scene, int]] = {}
    wanted = set(classes)
    for scene in (scene for part in scenes.values() for scene in part):
        sizes = (scene.boxes[:, 2:] - scene.boxes[:, :2]).prod(-1).tolist()
        for i, (label, size) in enumerate(zip(scene.labels, sizes, strict=True)):
            if label in wanted and (label not in best or size > best[label][0]):
                best[label] = (size, scene, i)
    found: dict[str, tuple[ClassImage, ...]] = {}
    for label, (_, scene, i) in sorted(best.items()):
        x0, y0, x1, y1 = scene.boxes[i].tolist()
        crop = Picture(f"{label} cut from {scene.picture.name}", scene.picture.source, (x0, y0, x1, y1))
        found[label] = (ClassImage(crop, scene.id),)
    return found


Reader = Callable[[Path, Path], Listing]
