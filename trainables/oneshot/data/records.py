"""The common form of all data: pictures that are decoded when needed, scenes, and their division by classes."""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from raybayes.errors import DataError

_QUARTER_TURNS = (5, 6, 7, 8)  # EXIF orientations that exchange width and height
BROKEN = (OSError, SyntaxError, ValueError, IndexError, struct.error, Image.DecompressionBombError)


@dataclass(frozen=True)
class Picture:
    """A picture as an encoded file, in memory or on disk, which is decoded on every `open`.

    Size, pixels and crop refer to the picture as viewers show it: rotated by its EXIF orientation.

    Args:
        name: for messages.
        source: the encoded bytes, or the path of a file.
        crop: a part, (x0, y0, x1, y1) in pixels; None for the whole picture.
    """

    name: str
    source: bytes | str
    crop: tuple[float, float, float, float] | None = None

    def size(self) -> tuple[int, int]:
        """Width and height, from the file's header.

        Raises:
            DataError: it is not a picture.
        """
        try:
            with Image.open(self._file()) as picture:
                turned = picture.getexif().get(ExifTags.Base.Orientation, 1) in _QUARTER_TURNS
                whole = picture.size[::-1] if turned else picture.size
        except BROKEN as error:
            raise self._broken(error) from None
        return whole if self.crop is None else self._part(whole).size

    def open(self) -> Image.Image:
        """The pixels, RGB.

        Raises:
            DataError: they cannot be decoded.
        """
        try:
            with Image.open(self._file()) as picture:
                pixels = ImageOps.exif_transpose(picture).convert("RGB")
        except BROKEN as error:
            raise self._broken(error) from None
        return pixels if self.crop is None else pixels.crop(self._part(pixels.size).box)

    def _file(self) -> io.BytesIO | str:
        return io.BytesIO(self.source) if isinstance(self.source, bytes) else self.source

    def _part(self, whole: tuple[int, int]) -> _Part:
        x0, y0, x1, y1 = self.crop or (0, 0, *whole)
        left, top = min(max(int(x0), 0), whole[0] - 1), min(max(int(y0), 0), whole[1] - 1)
        return _Part((left, top, max(min(round(x1), whole[0]), left + 1), max(min(round(y1), whole[1]), top + 1)))

    def _broken(self, error: Exception) -> DataError:
        known = not isinstance(error, UnidentifiedImageError)  # Pillow's own message repeats the name, or omits it
        reason = f"{type(error).__name__}: {error}" if known else "unknown format"
        return DataError(
            f"{self.name}: the picture cannot be decoded ({reason}); replace it by a JPEG or PNG"
            " file, or set files.skip_bad = true to leave such pictures out."
        )


@dataclass(frozen=True)
class _Part:
    box: tuple[int, int, int, int]

    @property
    def size(self) -> tuple[int, int]:
        return self.box[2] - self.box[0], self.box[3] - self.box[1]


def to_tensor(picture: Image.Image) -> Tensor:
    """(3, H, W) float32 in [0, 1]."""
    return torch.from_numpy(np.array(picture, np.uint8)).permute(2, 0, 1).float().div_(255)


def encoded(picture: Image.Image, quality: int = 92) -> bytes:
    """The picture as a JPEG file."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


@dataclass(frozen=True)
class Scene:
    """A picture with objects to detect.

    Args:
        id: unique among the scenes.
        picture: its pixels.
        width, height: in pixels.
        boxes: (n, 4) float32, pixels.
        labels: the class of each box.
        difficult: (n,) bool; such an object counts neither as found nor as missed.
    """

    id: str
    picture: Picture
    width: int
    height: int
    boxes: Tensor
    labels: tuple[str, ...]
    difficult: Tensor

    def only(self, classes: frozenset[str]) -> Scene:
        """The same picture with only the boxes of some classes."""
        kept = [i for i, label in enumerate(self.labels) if label in classes]
        return replace(
            self,
            boxes=self.boxes[kept],
            labels=tuple(self.labels[i] for i in kept),
            difficult=self.difficult[kept],
        )

    def without(self, label: str) -> Scene:
        """The same scene with the boxes of one class marked as difficult."""
        return replace(self, difficult=self.difficult | torch.tensor([name == label for name in self.labels]).bool())


@dataclass(frozen=True)
class ClassImage:
    """A picture of a class, and the id of the scene that it was cut from, if any."""

    picture: Picture
    cut_from: str | None = None


@dataclass(frozen=True)
class Collection:
    """Everything that a source provides.

    Args:
        scenes: by split: "train" and "test" (or "val"); "all" if the source has no splits.
        class_images: class -> its pictures, in the order of their use.
        roles: class -> "base", "val" or "novel".
    """

    scenes: Mapping[str, tuple[Scene, ...]]
    class_images: Mapping[str, tuple[ClassImage, ...]]
    roles: Mapping[str, str]


@dataclass(frozen=True)
class OneShotData:
    """The data of a run, for training and evaluation.

    Args:
        train: scenes with boxes of training classes only.
        evaluate: scenes with boxes of the evaluated classes.
        class_images: of every class of either kind.
        trained: classes of the training.
        seen, unseen: evaluated classes; unseen ones are excluded from training.
        notes: messages about omitted data.
    """

    train: tuple[Scene, ...]
    evaluate: tuple[Scene, ...]
    class_images: Mapping[str, tuple[ClassImage, ...]]
    trained: tuple[str, ...]
    seen: tuple[str, ...]
    unseen: tuple[str, ...]
    notes: tuple[str, ...] = field(default=())
