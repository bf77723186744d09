"""Images that stay in their files until a batch needs them, for sets that do not fit into memory (ImageNet).

`Pictures` can be indexed, split and augmented like the uint8 tensor (n, 3, size, size) that it represents; only
`decode` opens files.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from raybayes.errors import DataError

TRIES = 10  # at a random cut inside its picture; as torchvision
SCALE, RATIO = (0.08, 1.0), (3 / 4, 4 / 3)  # share of the area, width over height; the paper's, and torchvision's
MARGIN = 256 / 224  # shorter side over the middle square, which is used without augmentation


@dataclass(frozen=True, eq=False)
class Pictures:
    """Some pictures of a folder, each reduced to its middle or to its own random cut.

    Args:
        root: the folder.
        paths: (n,) relative to it.
        size: pixels of the square that each picture becomes.
        device: where decoded pictures lie.
        draws: (n, TRIES, 4) numbers in [0, 1) of each picture's cut: area, shape, left, top; None for the middle.
        mirrored: (n,) flags; None if no picture is mirrored.
    """

    root: Path
    paths: NDArray[np.str_]
    size: int
    device: torch.device
    draws: Tensor | None = None
    mirrored: Tensor | None = None

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return len(self), 3, self.size, self.size

    def __getitem__(self, rows: slice | Tensor) -> Pictures:
        picked = rows if isinstance(rows, slice) else rows.cpu()
        paths = self.paths[picked if isinstance(picked, slice) else picked.numpy()]
        draws, mirrored = (None if one is None else one[picked] for one in (self.draws, self.mirrored))
        return replace(self, paths=paths, draws=draws, mirrored=mirrored)

    def split(self, n: int) -> list[Pictures]:
        """Parts of n pictures each, in order."""
        return [self[start : start + n] for start in range(0, len(self), n)]

    def to(self, device: torch.device) -> Pictures:
        return replace(self, device=device)

    def augmented(self, generator: torch.Generator) -> Pictures:
        """The same pictures, each with a fresh random cut of 8 to 100 % of its area, mirrored with probability 1/2."""
        draws = torch.rand(len(self), TRIES, 4, generator=generator)
        return replace(self, draws=draws, mirrored=torch.rand(len(self), generator=generator) < 0.5)

    def decode(self) -> Tensor:
        """(n, 3, size, size) uint8 on the device, decoded by torch's number of threads.

        Raises:
            DataError: a file cannot be read.
        """
        threads = torch.get_num_threads()
        if threads == 1:
            found = [self._one(row) for row in range(len(self))]
        else:
            with ThreadPoolExecutor(threads) as pool:
                found = list(pool.map(self._one, range(len(self))))
        stack = torch.from_numpy(np.stack(found)) if found else torch.empty(0, self.size, self.size, 3).byte()
        return stack.to(self.device).permute(0, 3, 1, 2).contiguous()

    def _one(self, row: int) -> NDArray[np.uint8]:
        path = self.root / str(self.paths[row])
        try:
            with Image.open(path) as file:
                picture = file.convert("RGB")
        except (OSError, ValueError, SyntaxError) as error:
            raise DataError(f"{path} cannot be read as a picture ({error}); replace it, or remove it.") from None
        box = middle(*picture.size) if self.draws is None else random_cut(*picture.size, self.draws[row])
        seen = np.asarray(picture.resize((self.size, self.size), Image.Resampling.BILINEAR, box=box))
        return seen[:, ::-1] if self.mirrored is not None and self.mirrored[row] else seen


Images = Tensor | Pictures  # uint8, (n, channels, size, size), decoded or not


def require_decoded(images: Images) -> Tensor:
    """The images as a tensor (n, channels, size, size) uint8.

    Raises:
        TypeError: they are pictures in files.
    """
    if isinstance(images, Pictures):
        raise TypeError("decoded images are needed, found pictures in files; call decode() first")
    return images


def middle(width: int, height: int) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of the middle square, 224/256 of the shorter side."""
    side = min(width, height) / MARGIN
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side


def random_cut(width: int, height: int, draws: Tensor) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of the first cut inside the picture; else of its whole middle (as torchvision)."""
    low, high = (math.log(ratio) for ratio in RATIO)
    for area, shape, left, top in draws.tolist():
        pixels = width * height * (SCALE[0] + (SCALE[1] - SCALE[0]) * area)
        ratio = math.exp(low + (high - low) * shape)
        w, h = round(math.sqrt(pixels * ratio)), round(math.sqrt(pixels / ratio))
        if 0 < w <= width and 0 < h <= height:
            x, y = int(left * (width - w + 1)), int(top * (height - h + 1))
            return x, y, x + w, y + h
    w, h = min(width, round(height * RATIO[1])), min(height, round(width / RATIO[0]))
    return (width - w) // 2, (height - h) // 2, (width + w) // 2, (height + h) // 2


def pictures(table: pa.Table, size: int) -> tuple[Pictures, Tensor]:
    """The pictures of a table with the column `path`, and their labels, (n,) int64."""
    root = Path(table.schema.metadata[b"root"].decode())
    labels = torch.from_numpy(table["label"].to_numpy().astype(np.int64))
    return Pictures(root, np.array(table["path"].to_pylist(), np.str_), size, torch.device("cpu")), labels
