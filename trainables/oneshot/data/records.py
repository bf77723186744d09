"""What every source of data becomes: pictures that are decoded when needed, scenes, and the split into classes."""

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

_QUARTER_TURNS = (5, 6, 7, 8)  # EXIF orientations in which width and height change places
BROKEN = (OSError, SyntaxError, ValueError, IndexError, struct.error, Image.DecompressionBombError)


@dataclass(frozen=True)
class Picture:
    """A picture as an encoded file, in memory or on disk; only its user decodes it, and keeps it as long as needed.

    Size, pixels and crop are of the picture as viewers show it: turned as its EXIF orientation says.

    Args:
        name: for messages.
        source: the encoded bytes, or the path of a file.
        crop: the part that is meant, (x0, y0, x1, y1) in pixels; None for all of it.
    """

    name: str
    source: bytes | str
    crop: tuple[float, float, float, float] | None = None

    def size(self) -> tuple[int, int]:
        """Width and height, from the file's head. DataError if it is no picture."""
        try:
            with Image.open(self._file()) as picture:
                turned = picture.getexif().get(ExifTags.Base.Orientation, 1) in _QUARTER_TURNS
                whole = picture.size[::-1] if turned else picture.size
        except BROKEN as error:
            raise self._broken(error) from None
        return whole if self.crop is None else self._part(whole).size

    def open(self) -> Image.Image:
        """The pixels, RGB. DataError if they do not decode."""
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
        known = not isinstance(error, UnidentifiedImageError)  # Pillow's own sentence repeats the name, or hides it
        reason = f"{type(error).__name__}: {error}" if known else "of no known format"
        return DataError(
            f"{self.name}: the picture does not decode ({reason}); replace it by a JPEG or PNG"
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
    """A picture in which objects are to be found.

    Args:
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
        """The same picture with the boxes of some classes alone."""
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
    """What a class looks like: a picture, and the id of the scene that it was cut from, if it was."""

    picture: Picture
    cut_from: str | None = None


@dataclass(frozen=True)
class Collection:
    """All that a source gives.

    Args:
        scenes: by split: "train" and "test" (or "val"); "all" where the source has no splits.
        class_images: of each class, the one to be used first at the front.
        roles: class -> "base", "val" or "novel".
    """

    scenes: Mapping[str, tuple[Scene, ...]]
    class_images: Mapping[str, tuple[ClassImage, ...]]
    roles: Mapping[str, str]


@dataclass(frozen=True)
class OneShotData:
    """What a run trains and is judged on.

    Args:
        train: scenes with boxes of training classes alone.
        evaluate: scenes with boxes of the classes that are judged.
        class_images: of every class of either kind.
        trained: classes that are trained on.
        seen, unseen: classes that are judged; unseen ones are not trained on.
        notes: sentences about what was left out.
    """

    train: tuple[Scene, ...]
    evaluate: tuple[Scene, ...]
    class_images: Mapping[str, tuple[ClassImage, ...]]
    trained: tuple[str, ...]
    seen: tuple[str, ...]
    unseen: tuple[str, ...]
    notes: tuple[str, ...] = field(default=())
