"""A control of rankings: LightGBM's gradient-boosted trees with its lambdarank objective, where it is installed."""

from __future__ import annotations

import importlib.util

import torch
from torch import Tensor

from trainables.permutations.queries import PADDING, Queries

TREES = 100  # LightGBM's default


def scores(train: Queries, test: Queries) -> Tensor | None:
    """Scores (Q, n) of the test's documents, padding masked; None without LightGBM, or for grades with fractions."""
    grades = train.relevance[train.mask].cpu()
    if importlib.util.find_spec("lightgbm") is None or not torch.equal(grades, grades.round()):
        return None
    import lightgbm

    rows = lightgbm.Dataset(
        train.features[train.mask].cpu().numpy(), grades.long().numpy(), group=train.mask.sum(-1).cpu().numpy()
    )
    settings = {"objective": "lambdarank", "num_threads": 1, "verbosity": -1, "seed": 0, "deterministic": True}
    found = lightgbm.train(settings, rows, TREES).predict(test.features[test.mask].cpu().numpy(), num_threads=1)
    return torch.full(test.mask.shape, PADDING, dtype=torch.float64).masked_scatter(
        test.mask.cpu(), torch.as_tensor(found, dtype=torch.float64)
    )
