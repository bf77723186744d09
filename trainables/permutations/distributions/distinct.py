"""Orders of a Plackett-Luce distribution drawn without replacement, and how probable such a set was.

Drawing orders one after the other, each among those not drawn yet, is the same as giving each of the n! orders its
log-probability plus Gumbel noise and taking the k largest. A beam search finds these without listing all: the noise of
a prefix is the maximum over its orders, so it can be drawn from the first place to the last.

References:
    Kool, van Hoof, Welling, Stochastic beams and where to find them, ICML 2019, arXiv 1903.06059 (the draw).
    Kool, van Hoof, Welling, Estimating gradients for discrete random variables by sampling without replacement, ICLR
    2020, arXiv 2002.06043 (the ratios; appendix B: a set's probability as an integral).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from raybayes.errors import SpecError
from trainables.permutations.distributions.noise import Source
from trainables.permutations.distributions.plackett_luce import gumbel

POINTS = 128  # of each integral; the integrands are log-concave and fall off exponentially
DEPTH = 30.0  # the integral ends where the integrand is exp(-30) of its maximum
WHOLE = 1e-9  # a set with less probability than this outside it counts as all orders


def draw_distinct(logits: Tensor, count: int, generator: Source) -> tuple[Tensor, Tensor]:
    """`count` different orders (..., count, n) for logits (..., n), and their log-probabilities (..., count).

    Raises:
        SpecError: there are fewer orders than that.
    """
    n = logits.shape[-1]
    if n <= 12 and count > math.factorial(n):
        raise SpecError(f"found samples = {count}; {n} items have {math.factorial(n)} different orders: lower samples.")
    batch = logits.shape[:-1]
    order = torch.zeros(*batch, 1, 0, dtype=torch.long, device=logits.device)
    left = torch.ones(*batch, 1, n, dtype=torch.bool, device=logits.device)
    log_p, noisy = logits.new_zeros(*batch, 1), logits.new_zeros(*batch, 1)
    for _ in range(n):
        open_ = logits.unsqueeze(-2).masked_fill(~left, -math.inf)
        child = log_p.unsqueeze(-1) + open_.log_softmax(-1)
        drawn = _below(noisy, child + gumbel(child.shape, child, generator))
        width = min(count, int(left[(0,) * (left.ndim - 1)].sum()) * left.shape[-2])
        noisy, at = drawn.flatten(-2).topk(width, -1)
        beam, item = at // n, at % n
        log_p = child.flatten(-2).gather(-1, at)
        order = order.gather(-2, beam.unsqueeze(-1).expand(*at.shape, order.shape[-1]))
        order = torch.cat([order, item.unsqueeze(-1)], -1)
        left = left.gather(-2, beam.unsqueeze(-1).expand(*at.shape, n)).scatter(-1, item.unsqueeze(-1), False)
    return order, log_p


def _below(maximum: Tensor, drawn: Tensor) -> Tensor:
    """Gumbels (..., b, n) given that their maximum is `maximum` (..., b); -inf stays (Kool et al. 2019, appendix B)."""
    top = drawn.max(-1, keepdim=True).values
    limit = maximum.unsqueeze(-1)
    gap = limit - drawn + torch.log1p(-torch.exp((drawn - top).clamp(max=0)))
    found = limit - gap.clamp(min=0) - torch.log1p(torch.exp(-gap.abs()))
    return torch.where(drawn.isneginf(), drawn, found)


def left_out_ratios(log_p: Tensor) -> tuple[Tensor, Tensor]:
    """How much likelier a set of different orders becomes when one of them is known to be in it.

    Args:
        log_p: (..., k), log-probabilities of the orders of the set S.

    Returns:
        First-order ratios (..., k), p(S without s | s taken out of the domain) / p(S), and second-order ratios
        (..., k, k), entry (s, t) the same for t once s is taken out; 1 on the diagonal.
    """
    outside = torch.log((1 - log_p.exp().sum(-1, keepdim=True)).clamp(min=WHOLE))
    whole = outside <= math.log(2 * WHOLE)
    low, high = _limits(log_p, outside)
    share = torch.linspace(0, 1, POINTS, dtype=log_p.dtype, device=log_p.device)
    at = low + (high - low) * share  # (..., points)
    each, gap = _exceeds(log_p, at), at - outside
    together = each.sum(-2) - gap - torch.exp(-gap)
    without_one = together.unsqueeze(-2) - each
    without_two = without_one.unsqueeze(-2) - each.unsqueeze(-3)
    all_, one, two = (part.logsumexp(-1) for part in (together, without_one, without_two))
    first = (one - all_.unsqueeze(-1)).exp()
    second = (two - one.unsqueeze(-1)).exp()
    second = torch.where(torch.eye(log_p.shape[-1], dtype=torch.bool, device=log_p.device), 1.0, second)
    return torch.where(whole, 1.0, first), torch.where(whole.unsqueeze(-1), 1.0, second)


def _exceeds(log_p: Tensor, at: Tensor) -> Tensor:
    """(..., k, points): the log-probability that each order's Gumbel exceeds a threshold."""
    rate = (log_p.unsqueeze(-1) - at.unsqueeze(-2)).clamp(max=700).exp()
    return torch.log(-torch.expm1(-rate).clamp(min=-1)).clamp(min=-1e6)


def _limits(log_p: Tensor, outside: Tensor) -> tuple[Tensor, Tensor]:
    """Where the integrals over the largest Gumbel outside the set begin and end, (..., 1) each."""
    share = torch.linspace(0, 1, 4 * POINTS, dtype=log_p.dtype, device=log_p.device)
    at = outside - 8 + 56 * share
    each, gap = _exceeds(log_p, at), at - outside
    density = -gap - torch.exp(-gap)
    two_lowest = each.topk(min(2, each.shape[-2]), -2, largest=False).values.sum(-2)
    kept = torch.zeros_like(at, dtype=torch.bool)
    for height in (density + each.sum(-2), density + each.sum(-2) - two_lowest):
        kept |= height > height.max(-1, keepdim=True).values - DEPTH
    low = torch.where(kept, at, torch.inf).min(-1, keepdim=True).values
    high = torch.where(kept, at, -torch.inf).max(-1, keepdim=True).values
    step = 56 / (4 * POINTS - 1)
    return low - step, high + step
