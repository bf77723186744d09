"""LambdaRank: pairs weighted by what a swap changes."""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.permutations.queries import Queries, discounts, gains


def lambdarank(scores: Tensor, queries: Queries) -> Tensor:
    """Pairwise logistic loss weighted by |change of NDCG| of the swap (Burges 2010, LambdaRank)."""
    rank = scores.detach().argsort(dim=-1, descending=True, stable=True).argsort(-1) + 1
    discount = 1 / torch.log2(rank.to(scores.dtype) + 1)
    gain = gains(queries.relevance)
    ideal = (gain.sort(-1, descending=True).values * discounts(gain.shape[-1], gain.shape[-1], gain)).sum(-1)
    change = (gain.unsqueeze(-1) - gain.unsqueeze(-2)) * (discount.unsqueeze(-1) - discount.unsqueeze(-2))
    better = queries.relevance.unsqueeze(-1) > queries.relevance.unsqueeze(-2)
    pairs = better & queries.mask.unsqueeze(-2) & queries.mask.unsqueeze(-1)
    margin = scores.unsqueeze(-1) - scores.unsqueeze(-2)
    loss = torch.nn.functional.softplus(-margin) * change.abs() / ideal[:, None, None]
    return (loss * pairs).sum((-1, -2)).mean(-1).sum()
