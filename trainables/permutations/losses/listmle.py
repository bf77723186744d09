"""ListMLE: the likelihood of an ideal order."""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.permutations.distributions.plackett_luce import tail_logsumexp
from trainables.permutations.queries import Queries


def listmle(scores: Tensor, queries: Queries) -> Tensor:
    """Minus the Plackett-Luce log-probability of an ideal order (Xia et al. 2008); ties keep the table's order."""
    order = torch.where(queries.mask, queries.relevance, -1.0).argsort(dim=-1, descending=True, stable=True)
    permuted = scores.gather(-1, order.expand_as(scores))
    present = queries.mask.gather(-1, order)
    return -((permuted - tail_logsumexp(permuted)) * present).sum(-1).mean(-1).sum()
