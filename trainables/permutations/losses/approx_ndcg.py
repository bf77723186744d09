"""ApproxNDCG: NDCG of ranks that are sums of sigmoids."""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.permutations.queries import Queries, discounts, gains

TEMPERATURE = 0.1


def approx_ndcg(scores: Tensor, queries: Queries) -> Tensor:
    """Minus NDCG with rank_i = 1 + sum over j != i of sigmoid((s_j - s_i) / 0.1), mean over queries.

    References:
        Qin, Liu, Li, A general approximation framework for direct optimization of information retrieval measures,
        Information Retrieval 2010.
    """
    n, gain = scores.shape[-1], gains(queries.relevance)
    above = ((scores.unsqueeze(-2) - scores.unsqueeze(-1)) / TEMPERATURE).sigmoid()
    rank = 0.5 + above.sum(-1)  # a document's sigmoid with itself is 1/2
    ideal = (gain.sort(-1, descending=True).values * discounts(n, n, gain)).sum(-1)
    return -((gain / torch.log2(1 + rank)).sum(-1) / ideal).mean(-1).sum()
