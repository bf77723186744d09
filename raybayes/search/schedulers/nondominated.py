"""Curves of several objectives: a scheduler compares trials at a rung by dominance.

The trials at a step are ranked by nondominated front (NSGA-II; Deb et al., IEEE TEC 6(2), 2002), and within a front by
crowding distance, largest first. Successive halving uses the rank as the loss. That is multi-objective ASHA (Schmucker
et al., 2021, arXiv 2106.12639) with crowding distance in place of its epsilon-net.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from raybayes.search.outcomes.pareto import nondominated_fronts
from raybayes.search.schedulers.rungs import Curves

Vector = tuple[float, ...]


@dataclass
class NondominatedCurves(Curves):
    """The curves of all trials: a vector of losses by step and trial."""

    vectors: dict[int, dict[int, Vector]] = field(default_factory=lambda: defaultdict(dict))

    def add_vector(self, trial: int, step: int, losses: Vector) -> None:
        self.vectors[step][trial] = losses

    def at(self, step: int) -> Mapping[int, float]:
        trials = self.vectors[step]
        places = rank_by_dominance(list(trials.values()))
        return {trial: float(place) for trial, place in zip(trials, places, strict=True)}


def rank_by_dominance(losses: Sequence[Vector]) -> list[int]:
    """The rank of each point, 0 is best: by front, then by crowding distance (largest first), then as given."""
    points = np.array(losses, dtype=float)
    if not len(points):
        return []
    front = nondominated_fronts(points)
    crowding = np.zeros(len(points))
    for number in range(front.max() + 1):
        members = np.flatnonzero(front == number)
        crowding[members] = _crowding(points[members])
    places = np.empty(len(points), dtype=int)
    places[np.lexsort((-crowding, front))] = np.arange(len(points))
    return [int(place) for place in places]


def _crowding(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """(points,): the sum over objectives of the gap between a point's neighbours, as a share of the range."""
    total = np.zeros(len(points))
    for column in points.T:
        by_value = np.argsort(column, kind="stable")
        span = column[by_value[-1]] - column[by_value[0]]
        total[by_value[[0, -1]]] = np.inf
        if span > 0 and len(points) > 2:
            total[by_value[1:-1]] += (column[by_value[2:]] - column[by_value[:-2]]) / span
    return total
