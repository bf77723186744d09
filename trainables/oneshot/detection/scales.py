"""The size at which a scene is searched, so that a typical object is as large as an anchor."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from raybayes.errors import DataError
from trainables.oneshot.data.records import Scene
from trainables.oneshot.geometry.windows import STRIDE


@dataclass(frozen=True)
class EvalScale:
    """Pixels of the long side of a scene at level 1, and a message that explains their origin."""

    long_side: int
    explanation: str

    def factor(self, width: int, height: int) -> float:
        """Pixels at level 1 per pixel of a scene of width x height pixels."""
        return self.long_side / max(width, height)


def eval_scale(scenes: Sequence[Scene], grid: int, given: int | None) -> EvalScale:
    """The given size, or 16 G over the median of sqrt(box area) / long side.

    Args:
        scenes: their boxes determine the size.
        grid: G.
        given: pixels of the long side, if configured.

    Raises:
        DataError: no size is given, and no scene has a box.
    """
    if given is not None:
        return EvalScale(given, f"scenes are resized to a long side of {given} pixels (inference.eval_scale)")
    shares, sides = [], []
    for scene in scenes:
        sizes = (scene.boxes[:, 2:] - scene.boxes[:, :2]).prod(-1).sqrt()
        shares += (sizes / max(scene.width, scene.height)).tolist()
        sides.append(max(scene.width, scene.height))
    if not shares:
        raise DataError(
            "without boxes the size of objects is unknown; set inference.eval_scale, the long side in pixels."
        )
    typical, window = statistics.median(shares), STRIDE * grid
    long_side = max(round(window / typical), STRIDE)
    return EvalScale(
        long_side,
        f"scenes are resized to a long side of {long_side} pixels: a window has 16 x {grid} = {window} pixels, and the"
        f" median of sqrt(area) of {len(shares)} objects is {typical:.3f} of their scene's long side"
        f" (median {statistics.median(sides):g} pixels)",
    )
