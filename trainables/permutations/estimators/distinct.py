"""The unordered-set estimator: an update's samples are different orders, drawn without replacement."""

from __future__ import annotations

from torch import Tensor

from trainables.permutations.costs import Recorder
from trainables.permutations.distributions.distinct import draw_distinct, left_out_ratios
from trainables.permutations.distributions.noise import Source
from trainables.permutations.distributions.plackett_luce import score
from trainables.permutations.estimators.estimate import Estimate, Stateless


class UnorderedSet(Stateless):
    """sum_s p(s) R(s) (f(s) - b_s) score(s) over a set of different orders, R(s) its leave-one-out ratio.

    The baseline b_s = sum_t p(t) R_s(t) f(t) is the same estimate of E f with s taken out of the domain; unbiased for
    2 samples or more. With all n! orders it is the exact gradient.

    Args:
        scale_by_std: divide costs by their standard deviation over the update's orders.

    References:
        Kool, van Hoof, Welling, ICLR 2020, arXiv 2002.06043, equation 14.
    """

    def __init__(self, scale_by_std: bool) -> None:
        self._scale = scale_by_std

    def estimate(
        self, theta: Tensor, f: Recorder, samples: int, generator: Source, groups: int = 1, look: bool = False
    ) -> Estimate:
        logits = theta.log_softmax(-1).unsqueeze(1).expand(-1, groups, -1)
        order, log_p = draw_distinct(logits, samples, generator)
        flat = order.flatten(1, 2)
        values = f.look(flat) if look else f(flat)
        costs = values.unflatten(1, (groups, samples))
        first, second = left_out_ratios(log_p)
        weight = samples * log_p.exp() * first
        baseline = (second * (log_p.exp() * costs).unsqueeze(-2)).sum(-1)
        advantage = costs - baseline
        if self._scale:
            advantage = advantage / costs.std(-1, keepdim=True, unbiased=False).clamp_min(1e-12)
        gradient = ((weight * advantage).unsqueeze(-1) * score(logits.unsqueeze(-2), order)).flatten(1, 2)
        return Estimate(flat, values, gradient, None, weights=weight.flatten(1))
