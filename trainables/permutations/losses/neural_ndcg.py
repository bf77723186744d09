"""NeuralNDCG: NDCG of gains sorted by a soft permutation matrix."""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.permutations.distributions import relaxations
from trainables.permutations.queries import Queries, discounts, gains

TEMPERATURE = 1.0
ITERATIONS = 20  # of Sinkhorn's scaling


def neural_ndcg(scores: Tensor, queries: Queries) -> Tensor:
    """Minus sum_i discount_i (P gain)_i / ideal, P NeuralSort's matrix scaled to be doubly stochastic.

    Mean over queries. Absent documents, with their low score, take the last places among themselves.

    References:
        Pobrotyn, Białobrzeski, NeuralNDCG: direct optimisation of a ranking metric via differentiable relaxation of
        sorting, 2021, arXiv 2102.07831.
    """
    n, gain = scores.shape[-1], gains(queries.relevance)
    tau = torch.as_tensor(TEMPERATURE, dtype=scores.dtype, device=scores.device)
    soft = relaxations.sinkhorn(relaxations.neuralsort(scores, tau).scores.log_softmax(-1), ITERATIONS).exp()
    discount = discounts(n, n, gain)
    ideal = (gain.sort(-1, descending=True).values * discount).sum(-1)
    return -(((soft @ gain.unsqueeze(-1)).squeeze(-1) * discount).sum(-1) / ideal).mean(-1).sum()
