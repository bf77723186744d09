"""At which size a scene is looked at: where a typical object is as large as an anchor."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from raybayes.errors import DataError
from trainables.oneshot.data.records import Scene
from trainables.oneshot.model.head import STRIDE


@dataclass(frozen=True)
class EvalScale:
    """Pixels of the long side of a scene at level 1, and the sentence that says where they come from."""

    long_side: int
    explanation: str

    def factor(self, width: int, height: int) -> float:
        """Pixels at level 1 per pixel of a scene of that size."""
        return self.long_side / max(width, height)


def eval_scale(scenes: Sequence[Scene], grid: int, given: int | None) -> EvalScale:
    """The given one, or 16 G over the median of sqrt(box area) / long side.

    Raises:
        DataError: none is given and no scene has a box.
    """
    if given is not None:
        return EvalScale(given, f"scenes are brought to a long side of {given} pixels, as inference.eval_scale says")
    shares, sides = [], []
    for scene in scenes:
        sizes = (scene.boxes[:, 2:] - scene.boxes[:, :2]).prod(-1).sqrt()
        shares += (sizes / max(scene.width, scene.height)).tolist()
        sides.append(max(scene.width, scene.height))
    if not shares:
        raise DataError("no box tells how large objects are; set inference.eval_scale, the long side in pixels.")
    typical, window = statistics.median(shares), STRIDE * grid
    long_side = max(round(window / typical), STRIDE)
    return EvalScale(
        long_side,
        f"scenes are brought to a long side of {long_side} pixels: the window has 16 x {grid} = {window} pixels, and"
        f" the median object of {len(shares)} has sqrt(area) = {typical:.3f} of its scene's long side"
        f" (median {statistics.median(sides):g} pixels)",
    )
