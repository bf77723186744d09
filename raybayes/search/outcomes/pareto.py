"""Pareto dominance between vectors of losses: nowhere worse and somewhere better."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def dominates(one: Floats, other: Floats) -> NDArray[np.bool_]:
    """(...,): whether `one` dominates `other`; both are (..., objectives), smaller is better, and broadcast."""
    return np.asarray((one <= other).all(axis=-1) & (one < other).any(axis=-1))


def count_dominating(losses: Floats) -> NDArray[np.int64]:
    """(points,): how many other points dominate each one; 0 on the Pareto front.

    Args:
        losses: (points, objectives). One row at a time is compared with all: memory grows with the points only.
    """
    return np.array([dominates(losses, point).sum() for point in losses], dtype=np.int64)


def nondominated_fronts(losses: Floats) -> NDArray[np.int64]:
    """(points,): 0 for what no other point dominates, 1 for what only those of front 0 dominate, and so on.

    Args:
        losses: (points, objectives).
    """
    beats = dominates(losses[:, None], losses[None])
    front = np.full(len(losses), -1)
    number = 0
    while (front < 0).any():
        left = front < 0
        front[left & ~(beats & left[:, None]).any(0)] = number
        number += 1
    return front


def hypervolume(losses: Floats, worst: Floats) -> float:
    """Volume of the region that some points dominate and that dominates `worst`, by slicing along the last objective.

    Args:
        losses: (points, objectives), smaller is better; what is not better than `worst` everywhere adds nothing.
        worst: (objectives,), the reference point.
    """
    inside = losses[(losses < worst).all(axis=1)]
    if not len(inside):
        return 0.0
    inside = np.unique(inside[count_dominating(inside) == 0], axis=0)
    if inside.shape[1] == 1:
        return float(worst[0] - inside.min())
    inside = inside[np.argsort(inside[:, -1], kind="stable")]
    depths = np.diff(np.append(inside[:, -1], worst[-1]))
    slices = (hypervolume(inside[: i + 1, :-1], worst[:-1]) for i in range(len(inside)))
    return float(sum(depth * area for depth, area in zip(depths, slices, strict=True) if depth > 0))
