"""ListNet: cross-entropy of top-one probabilities."""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.permutations.queries import PADDING, Queries


def listnet(scores: Tensor, queries: Queries) -> Tensor:
    """Cross-entropy of the top-one probabilities of relevance and score (Cao et al. 2007), mean over queries."""
    target = torch.where(queries.mask, queries.relevance, PADDING).softmax(-1)
    return -(target * scores.log_softmax(-1)).sum(-1).mean(-1).sum()
