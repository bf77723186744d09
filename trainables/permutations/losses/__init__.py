"""Surrogate losses of ranking: scores (runs, Q, n), padding masked, and queries to one number, summed over runs.

A loss is one file here and one line in `LOSSES`; the controls of the task, its metrics and the tests follow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from trainables.permutations.losses.approx_ndcg import approx_ndcg
from trainables.permutations.losses.lambdaloss import lambdaloss
from trainables.permutations.losses.lambdarank import lambdarank
from trainables.permutations.losses.listmle import listmle
from trainables.permutations.losses.listnet import listnet
from trainables.permutations.losses.neural_ndcg import neural_ndcg
from trainables.permutations.queries import Queries


@dataclass(frozen=True)
class Loss:
    """A loss and its name in tables."""

    title: str
    of: Callable[[Tensor, Queries], Tensor]


LOSSES = {
    "listnet": Loss("ListNet", listnet),
    "listmle": Loss("ListMLE", listmle),
    "lambdarank": Loss("LambdaRank", lambdarank),
    "lambdaloss": Loss("LambdaLoss (NDCG-Loss2++)", lambdaloss),
    "approx_ndcg": Loss("ApproxNDCG", approx_ndcg),
    "neural_ndcg": Loss("NeuralNDCG", neural_ndcg),
}
