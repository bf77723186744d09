"""LambdaLoss, NDCG-Loss2++: a bound on NDCG's cost that also counts how far apart two documents are."""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.permutations.queries import Queries, discounts, gains

MU = 10.0  # weight of the part that depends on the distance of two ranks; the paper's


def lambdaloss(scores: Tensor, queries: Queries) -> Tensor:
    """Pairwise logistic loss, weighted by (|1/D_i - 1/D_j| + 10 |1/D_|i-j| - 1/D_(|i-j|+1)|) |G_i - G_j|.

    i and j are ranks, D_i = log2(1 + i), G the gains over the ideal DCG; mean over queries.

    References:
        Wang, Li, Golbandi, Bendersky, Najork, The LambdaLoss framework for ranking metric optimization, CIKM 2018.
    """
    n, gain = scores.shape[-1], gains(queries.relevance)
    rank = scores.detach().argsort(dim=-1, descending=True, stable=True).argsort(-1)  # 0 is the first place
    discount = discounts(n + 1, n + 1, scores)
    gain = gain / (gain.sort(-1, descending=True).values * discount[:n]).sum(-1, keepdim=True)
    apart = (rank.unsqueeze(-1) - rank.unsqueeze(-2)).abs()
    swapped = (discount[rank].unsqueeze(-1) - discount[rank].unsqueeze(-2)).abs()
    moved = torch.where(apart > 0, discount[(apart - 1).clamp(min=0)] - discount[apart], 0.0)
    weight = (swapped + MU * moved) * (gain.unsqueeze(-1) - gain.unsqueeze(-2)).abs()
    better = queries.relevance.unsqueeze(-1) > queries.relevance.unsqueeze(-2)
    pairs = better & queries.mask.unsqueeze(-2) & queries.mask.unsqueeze(-1)
    margin = scores.unsqueeze(-1) - scores.unsqueeze(-2)
    return (torch.nn.functional.softplus(-margin) * weight * pairs).sum((-1, -2)).mean(-1).sum()
