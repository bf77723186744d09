"""Losses of a cell: scores of the tried tokens against their costs.

Every loss takes scores (N, k), costs (N, k) whose minimum over the tried tokens is 0 (`shifted`), the mask (N, k) of
what was tried, and the column of the target (N,); it returns (N,). Tokens that were not tried get no gradient, except
in `ll-all`, which normalises over the whole vocabulary.

References:
    Leblond et al., "SEARNN", ICLR 2018, arXiv 1706.04499 (ll, kl; hinge, l2, inv-kl and js are in its code).
    Saparina, Osokin, arXiv 1912.03771 (ranking objectives; the exact forms here are reconstructed).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

import torch
from torch import Tensor

from raybayes.contract import require_entries
from trainables.autoregressive.config import LossName, Transform

SCALED: tuple[LossName, ...] = (
    "kl",
    "llcas",
    "hinge",
    "inv-kl",
    "js",
    "l2",
    "rank-margin",
)  # those in which the cost scale T_c occurs
_TINY = 1e-12
_PAIRS_AT_ONCE = 1 << 22


@dataclass(frozen=True)
class Cells:
    """What a loss sees of some cells.

    Args:
        scores: (N, k) with gradient.
        costs: (N, k), min-shifted, 0 at masked places.
        mask: (N, k).
        target: (N,) column of the best token.
        all_scores: (N, V) for ll-all, else None.
    """

    scores: Tensor
    costs: Tensor
    mask: Tensor
    target: Tensor
    all_scores: Tensor | None = None

    def at_target(self, values: Tensor) -> Tensor:
        return values.gather(1, self.target.unsqueeze(1)).squeeze(1)

    def shown(self, values: Tensor, hidden: float) -> Tensor:
        return values.masked_fill(~self.mask, hidden)

    def log_model(self) -> Tensor:
        """log p_M, 0 at masked places."""
        return self.shown(torch.log_softmax(self.shown(self.scores, -torch.inf), 1), 0.0)

    def log_wanted(self, scale: float) -> Tensor:
        """log q, q = softmax_M(-T_c c), 0 at masked places."""
        return self.shown(torch.log_softmax(self.shown(-scale * self.costs, -torch.inf), 1), 0.0)


def shifted(costs: Tensor, mask: Tensor) -> Tensor:
    """Costs minus the least of the tried ones; 0 at masked places."""
    least = costs.masked_fill(~mask, torch.inf).min(1, keepdim=True).values
    return (costs - least).masked_fill(~mask, 0.0)


def transformed(costs: Tensor, mask: Tensor, kind: Transform) -> Tensor:
    """Shifted costs (raw), their dense ranks 0, 1, 2, .. (ranks), or 1[c > 0] (best-vs-rest)."""
    match kind:
        case "raw":
            return costs
        case "best-vs-rest":
            return (costs > 0).to(costs.dtype).masked_fill(~mask, 0.0)
        case "ranks":
            return _ranks(costs, mask)
        case _ as unknown:
            assert_never(unknown)


def _ranks(costs: Tensor, mask: Tensor) -> Tensor:
    """Dense ranks of the tried tokens' costs, (N, k); 0 at masked places."""
    ordered, order = costs.masked_fill(~mask, torch.inf).sort(1)
    rises = torch.nn.functional.pad((ordered[:, 1:] > ordered[:, :-1]).to(costs.dtype).cumsum(1), (1, 0))
    return torch.zeros_like(costs).scatter(1, order, rises).masked_fill(~mask, 0.0)


def target_column(costs: Tensor, mask: Tensor, noise: Tensor) -> Tensor:
    """argmin of costs + noise over the tried tokens, (N,): noise of 1e-5 breaks ties at random."""
    return (costs + noise).masked_fill(~mask, torch.inf).argmin(1)


def _ll(cells: Cells, scale: float, top: int) -> Tensor:
    return -cells.at_target(cells.log_model())


def _ll_all(cells: Cells, scale: float, top: int) -> Tensor:
    if cells.all_scores is None:
        raise ValueError("ll-all needs the scores of all tokens")
    return cells.all_scores.logsumexp(1) - cells.at_target(cells.scores)


def _kl(cells: Cells, scale: float, top: int) -> Tensor:
    wanted = cells.shown(cells.log_wanted(scale).exp(), 0.0)
    return -(wanted * cells.log_model()).sum(1)


def _llcas(cells: Cells, scale: float, top: int) -> Tensor:
    raised = cells.scores + scale * cells.costs
    return cells.shown(raised, -torch.inf).logsumexp(1) - cells.at_target(raised)


def _hinge(cells: Cells, scale: float, top: int) -> Tensor:
    raised = cells.scores + scale * cells.costs
    return cells.shown(raised, -torch.inf).max(1).values - cells.at_target(raised)


def _inv_kl(cells: Cells, scale: float, top: int) -> Tensor:
    model, wanted = (cells.shown(log.exp(), 0.0) for log in (cells.log_model(), cells.log_wanted(scale)))
    return (model * ((model + _TINY).log() - (wanted + _TINY).log())).sum(1)


def _js(cells: Cells, scale: float, top: int) -> Tensor:
    model, wanted = (cells.shown(log.exp(), 0.0) for log in (cells.log_model(), cells.log_wanted(scale)))
    middle = ((model + wanted) / 2 + _TINY).log()
    halves = wanted * ((wanted + _TINY).log() - middle) + model * ((model + _TINY).log() - middle)
    return halves.sum(1) / 2


def _l2(cells: Cells, scale: float, top: int) -> Tensor:
    worst = cells.costs.max(1, keepdim=True).values
    return cells.shown((cells.scores + scale * (cells.costs - worst / 2)) ** 2, 0.0).sum(1)


def _risk(cells: Cells, scale: float, top: int) -> Tensor:
    return (cells.shown(cells.log_model().exp(), 0.0) * cells.costs).sum(1)


def _pairs(cells: Cells, of: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Sum over pairs c(a) < c(b) of `of(s_b - s_a, c_b - c_a)`, a few cells at a time."""
    k = cells.scores.shape[1]
    parts = []
    for rows in torch.arange(len(cells.scores), device=cells.scores.device).split(max(1, _PAIRS_AT_ONCE // (k * k))):
        score, cost, mask = cells.scores[rows], cells.costs[rows], cells.mask[rows]
        gap = cost.unsqueeze(1) - cost.unsqueeze(2)
        counts = (gap > 0) & mask.unsqueeze(1) & mask.unsqueeze(2)
        value = of(score.unsqueeze(1) - score.unsqueeze(2), gap)
        parts.append(torch.where(counts, value, 0.0).sum((1, 2)))
    return torch.cat(parts)


def _rank_logistic(cells: Cells, scale: float, top: int) -> Tensor:
    return _pairs(cells, lambda score, gap: torch.nn.functional.softplus(score))


def _rank_margin(cells: Cells, scale: float, top: int) -> Tensor:
    return _pairs(cells, lambda score, gap: (scale * gap + score).clamp_min(0.0))


def _listmle(cells: Cells, scale: float, top: int) -> Tensor:
    """-log of the probability that the `top` cheapest tokens come first, cheapest first (Plackett-Luce).

    The target comes before others of its cost; further ties keep the order of the tokens.
    """
    keys = cells.shown(cells.costs, torch.inf).scatter(1, cells.target.unsqueeze(1), -1.0)
    order = keys.argsort(dim=1, stable=True)
    scores = cells.shown(cells.scores, -torch.inf).gather(1, order)
    tails = scores.flip(1).logcumsumexp(1).flip(1)
    counted = cells.mask.gather(1, order)
    counted = counted & (torch.arange(scores.shape[1], device=scores.device) < top)
    return (torch.where(counted, tails, 0.0) - torch.where(counted, scores, 0.0)).sum(1)


LOSSES: dict[LossName, Callable[[Cells, float, int], Tensor]] = {
    "ll": _ll,
    "ll-all": _ll_all,
    "kl": _kl,
    "llcas": _llcas,
    "hinge": _hinge,
    "inv-kl": _inv_kl,
    "js": _js,
    "l2": _l2,
    "risk": _risk,
    "rank-logistic": _rank_logistic,
    "rank-margin": _rank_margin,
    "listmle": _listmle,
}


require_entries(LossName, LOSSES, "trainables/autoregressive/losses.py: LOSSES")


def cell_losses(name: LossName, cells: Cells, scale: float = 1.0, top: int = 1) -> Tensor:
    """The loss of every cell, (N,).

    Args:
        name: one of LOSSES.
        scale: T_c, which multiplies costs; large = sharp.
        top: how many of the cheapest tokens listmle ranks.
    """
    return LOSSES[name](cells, scale, top)
