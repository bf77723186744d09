"""One number for a whole curve over ensemble sizes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


def area_over_log_size(curve: Mapping[int, float]) -> float:
    """Area under a curve over log K by trapezoids, divided by its width: a mean in the curve's own unit.

    A search that maximises it finds a method that is good at every size; a search for the best final score would always
    choose the largest size.

    Args:
        curve: size -> value, sizes ascending from 1.
    """
    sizes = np.log(np.array(list(curve), np.float64))
    values = np.array(list(curve.values()), np.float64)
    if len(sizes) == 1:
        return float(values[0])
    widths = np.diff(sizes)
    return float((widths * (values[1:] + values[:-1]) / 2).sum() / widths.sum())
