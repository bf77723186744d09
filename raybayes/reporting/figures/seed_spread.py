"""The spread of the seeds of one configuration."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from raybayes.reporting import ranking
from raybayes.reporting.ranking import Floats
from raybayes.search.objective import Objective


def seed_values(trials: pa.Table, reports: pa.Table, objective: Objective) -> Floats:
    """(runs, 2): trial and last value of each seed of the trials that finished with two seeds or more."""
    value, trial, repeat, step = (ranking.float_column(reports, n) for n in (objective.name, "trial", "repeat", "step"))
    done = ranking.float_column(trials, "trial")[ranking.finished_mask(trials, [objective])]
    known = np.flatnonzero(np.isfinite(value) & np.isin(trial, done))
    known = known[np.lexsort((step[known], repeat[known], trial[known]))]
    keys = np.stack([trial[known], repeat[known]], axis=1)
    last = np.ones(len(known), dtype=bool)
    last[:-1] = (keys[1:] != keys[:-1]).any(axis=1)
    runs = np.stack([trial[known[last]], value[known[last]]], axis=1)
    numbers, counts = np.unique(runs[:, 0], return_counts=True)
    repeated: Floats = runs[np.isin(runs[:, 0], numbers[counts > 1])]
    return repeated


def seed_deviation(runs: Floats) -> float:
    """The standard deviation between seeds of one configuration, pooled over configurations; NaN for no repeats.

    Args:
        runs: (runs, 2), trial and value.
    """
    if not len(runs):
        return float("nan")
    _, group = np.unique(runs[:, 0], return_inverse=True)
    sizes = np.bincount(group)
    means = np.bincount(group, runs[:, 1]) / sizes
    return float(np.sqrt(((runs[:, 1] - means[group]) ** 2).sum() / (len(runs) - len(sizes))))
