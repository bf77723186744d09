"""Deep ensemble equivalent: how many independent networks an ensemble is worth.

Source: Ashukha et al. 2020, arXiv 2002.06470, section 4.1. The reference curve must come from deep ensembles of the
same data set, architecture, dropout and augmentation; otherwise the number measures regularisation, not ensembling.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import nan

import numpy as np
from numpy.typing import NDArray

from raybayes.errors import DataError


@dataclass(frozen=True)
class Equivalent:
    """A deep ensemble equivalent with bounds, lower <= value <= upper.

    Args:
        value: size of the deep ensemble with the same mean score, linearly interpolated; at least 1.
        lower: against the mean plus one standard deviation of the deep ensembles; nan if that is unknown.
        upper: against the mean minus one standard deviation; nan if that is unknown.
        saturated: the score beats the whole curve; value is its last size, never an extrapolation.
    """

    value: float
    lower: float
    upper: float
    saturated: bool


def deep_ensemble_equivalent(
    score: float,
    mean: Mapping[int, float],
    std: Mapping[int, float] | None = None,
    *,
    higher_is_better: bool = True,
    gaps_allowed: bool = False,
) -> Equivalent:
    """DEE of a score against a curve of deep ensembles.

    Args:
        score: the mean score of the method at one ensemble size.
        mean: size -> mean score of the deep ensembles, for every size 1, 2, ..., L.
        std: size -> standard deviation over repetitions, nan if unknown; without it the bounds equal the value.
        higher_is_better: False for error, Brier score, AURC and the like.
        gaps_allowed: accept a curve with missing sizes, although interpolation over them is biased upwards.

    Raises:
        DataError: the curve is empty, has gaps, or std lacks a size.
    """
    sizes = np.array(sorted(mean), np.float64)
    _check(sizes, mean, std, gaps_allowed)
    sign = 1.0 if higher_is_better else -1.0
    curve = sign * np.array([mean[int(size)] for size in sizes])
    spread = np.zeros_like(curve) if std is None else np.array([std[int(size)] for size in sizes])
    value, saturated = _first_size(sign * score, sizes, curve)
    lower, upper = (_bound(sign * score, sizes, curve + shift) for shift in (spread, -spread))
    return Equivalent(value, lower, upper, saturated)


def _check(sizes: NDArray[np.float64], mean: Mapping[int, float], std: Mapping[int, float] | None, gaps: bool) -> None:
    if not len(sizes) or sizes[0] != 1:
        raise DataError(f"the curve of deep ensembles must begin at size 1, found sizes {sorted(mean) or 'none'}.")
    if missing := sorted(set(range(1, int(sizes[-1]) + 1)) - set(mean)):
        shown = ", ".join(map(str, missing[:5]))
        if not gaps:
            raise DataError(
                f"the curve of deep ensembles lacks {len(missing)} sizes below {sizes[-1]:g} ({shown}, ...), and"
                " interpolating over gaps is biased upwards; add them, or pass gaps_allowed=True."
            )
    if std is not None and (lacking := sorted(set(mean) - set(std))):
        raise DataError(f"the standard deviation lacks sizes {', '.join(map(str, lacking))}; give one for each size.")


def _bound(score: float, sizes: NDArray[np.float64], curve: NDArray[np.float64]) -> float:
    """`_first_size` on the part of the curve before the first nan; nan if the score is beyond that part."""
    unknown = np.flatnonzero(np.isnan(curve))
    known = int(unknown[0]) if len(unknown) else len(curve)
    if known == 0:
        return nan
    size, saturated = _first_size(score, sizes[:known], curve[:known])
    return nan if saturated and known < len(curve) else size


def _first_size(score: float, sizes: NDArray[np.float64], curve: NDArray[np.float64]) -> tuple[float, bool]:
    """min{l >= 1 real: c(l) >= score}, and whether there is none (then the last size)."""
    reached = np.flatnonzero(curve >= score)
    if not len(reached):
        return float(sizes[-1]), True
    j = int(reached[0])
    if j == 0:
        return 1.0, False
    share = (score - curve[j - 1]) / (curve[j] - curve[j - 1])
    return float(sizes[j - 1] + share * (sizes[j] - sizes[j - 1])), False
