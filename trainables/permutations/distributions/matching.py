"""The Gumbel matching model: a distribution over permutations with one logit for each (place, item) pair.

Every pair runs a race, with arrival times E_ij ~ Exp(rate exp(logit_ij)). The first pair to arrive is matched, its row
and its column leave the race, and so on. The *trace*, the pairs in the order in which they were matched, has a
tractable probability; the permutation alone, which forgets that order, has not.

    log p(trace) = sum over steps of  logit of the matched pair - logsumexp of the logits still in the race

References:
    Struminsky, Gadetsky, Rakitin, Karpushkin, Vetrov, Leveraging recursive Gumbel-max trick for approximate inference
    in combinatorial spaces, NeurIPS 2021, arXiv 2110.15072, sections 3 and 4.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from raybayes.errors import SpecError
from trainables.permutations.distributions.plackett_luce import gumbel

_GONE = -torch.inf


@dataclass(frozen=True)
class Trace:
    """The outcome of a race.

    Args:
        pairs: (..., n), the matched pairs in the order of their arrival, each as row * n + column.
        order: (..., n), the item of each place.
    """

    pairs: Tensor
    order: Tensor


class Matching:
    """Permutations as matchings of places and items.

    Args:
        logits: (..., n, n), finite, n >= 2; row = place, column = item.

    Raises:
        SpecError: not square, fewer than 2 items, or a logit that is not finite.
    """

    def __init__(self, logits: Tensor) -> None:
        if logits.ndim < 2 or logits.shape[-1] != logits.shape[-2] or logits.shape[-1] < 2:
            raise SpecError(f"found logits of shape {tuple(logits.shape)}; a matching needs n >= 2 places by n items.")
        if not torch.isfinite(logits).all():
            raise SpecError("found logits that are not finite; lower lr or clip them.")
        self.logits = logits
        self.n = logits.shape[-1]

    def perturbed(self, sample_shape: tuple[int, ...] = (), generator: torch.Generator | None = None) -> Tensor:
        """z = logits + Gumbel noise, i.e. minus the logarithm of the arrival times; sample_shape + (..., n, n)."""
        return self.logits + gumbel((*sample_shape, *self.logits.shape), self.logits, generator)

    def sample(self, sample_shape: tuple[int, ...] = (), generator: torch.Generator | None = None) -> Trace:
        """Traces of independent races."""
        return race(self.perturbed(sample_shape, generator))

    def log_prob(self, trace: Trace) -> Tensor:
        """log p(trace), (...)."""
        logits = self.logits.expand(*trace.pairs.shape[:-1], self.n, self.n).flatten(-2)
        left = _left(trace.pairs, self.n)
        tails = (logits.unsqueeze(-2).masked_fill(~left, _GONE)).logsumexp(-1)
        return (logits.gather(-1, trace.pairs) - tails).sum(-1)

    def score(self, trace: Trace) -> Tensor:
        """d log p(trace) / d logits, (..., n, n), in closed form: 1 if matched, minus the shares of each step."""
        logits = self.logits.detach().expand(*trace.pairs.shape[:-1], self.n, self.n).flatten(-2)
        result = torch.zeros_like(logits).scatter(-1, trace.pairs, 1.0)
        for step in range(self.n):  # step by step: n^2 numbers at a time instead of n^3
            result -= logits.masked_fill(~_left(trace.pairs, self.n, step), _GONE).softmax(-1)
        score: Tensor = result.unflatten(-1, (self.n, self.n))
        return score

    def posterior(self, trace: Trace, v: Tensor, rest: Tensor) -> Posterior:
        """Perturbed logits given the trace. `v` (..., n) and `rest` (..., n, n) are fresh uniform draws."""
        return Posterior(self.logits, trace, v, rest)


class Posterior:
    """z~ = -log E~ given the trace, and the closed form of its Jacobian.

    The race's steps take independent exponential times with the rate of all pairs still in it; a pair that was never
    matched takes, after its removal, an additional exponential time of its own rate.
    """

    def __init__(self, logits: Tensor, trace: Trace, v: Tensor, rest: Tensor) -> None:
        n = logits.shape[-1]
        self._n = n
        self._left = _left(trace.pairs, n)  # (..., step, pair)
        flat = logits.expand(*trace.pairs.shape[:-1], n, n).flatten(-2)
        alive = flat.unsqueeze(-2).masked_fill(~self._left, _GONE)
        tails = alive.logsumexp(-1)
        self._shares = alive.softmax(-1)
        self._gaps = torch.log(-torch.log(v)) - tails
        times = self._gaps.logcumsumexp(-1)
        removed = self._left.sum(-2) - 1  # the last step in which the pair was in the race
        own = torch.log(-torch.log(rest.flatten(-2))) - flat
        reached = times.gather(-1, removed)
        matched = torch.zeros_like(flat, dtype=torch.bool).scatter(-1, trace.pairs, True)
        self._log_time = torch.where(matched, reached, torch.logaddexp(reached, own))
        self._own_share = torch.where(matched, 0.0, torch.exp(own - self._log_time))
        self.z = -self._log_time.unflatten(-1, (n, n))

    def vjp(self, weights: Tensor) -> Tensor:
        """J^T w with J = dz~/dlogits, (..., n, n). J's entries are >= 0 and its rows sum to 1."""
        w = weights.flatten(-2)
        steps = (self._reach() @ w.unsqueeze(-1)).squeeze(-1)
        return self._square((steps.unsqueeze(-2) @ self._shares).squeeze(-2) + w * self._own_share)

    def jvp(self, direction: Tensor) -> Tensor:
        """J u, (..., n, n)."""
        u = direction.flatten(-2)
        steps = (self._shares @ u.unsqueeze(-1)).squeeze(-1)
        return self._square((steps.unsqueeze(-2) @ self._reach()).squeeze(-2) + u * self._own_share)

    def _square(self, flat: Tensor) -> Tensor:
        """(..., n^2) as (..., n, n)."""
        square: Tensor = flat.unflatten(-1, (self._n, self._n))
        return square

    def _reach(self) -> Tensor:
        """(..., step, pair): the share of a step's gap in the time of each pair that was still in the race."""
        return torch.exp((self._gaps.unsqueeze(-1) - self._log_time.unsqueeze(-2)).clamp_max(0)) * self._left


def race(z: Tensor) -> Trace:
    """Match the largest z, drop its row and column, and so on. z: (..., n, n)."""
    n = z.shape[-1]
    batch = z.shape[:-2]
    left = z.detach().reshape(-1, n, n).clone()
    rows = torch.arange(left.shape[0], device=z.device)
    pairs = []
    for _ in range(n):
        pair = left.flatten(1).argmax(-1)
        left[rows, pair // n, :] = _GONE
        left[rows, :, pair % n] = _GONE
        pairs.append(pair)
    chosen = torch.stack(pairs, -1)
    order = torch.empty_like(chosen).scatter_(-1, chosen // n, chosen % n)
    return Trace(chosen.reshape(*batch, n), order.reshape(*batch, n))


def trace_of_tuple(rows: Tensor, columns: Tensor) -> Trace:
    """The trace that matches rows[k] with columns[k] in step k."""
    n = rows.shape[-1]
    return Trace(rows * n + columns, torch.empty_like(columns).scatter_(-1, rows, columns))


def _left(pairs: Tensor, n: int, step: int | None = None) -> Tensor:
    """Which pairs are in the race: (..., n steps, n^2) booleans, or (..., n^2) for one step."""
    row_step = torch.empty_like(pairs).scatter_(-1, pairs // n, _steps(pairs))
    column_step = torch.empty_like(pairs).scatter_(-1, pairs % n, _steps(pairs))
    last = torch.minimum(row_step.unsqueeze(-1), column_step.unsqueeze(-2)).flatten(-2)
    if step is not None:
        return last >= step
    return last.unsqueeze(-2) >= torch.arange(n, device=pairs.device).unsqueeze(-1)


def _steps(pairs: Tensor) -> Tensor:
    return torch.arange(pairs.shape[-1], device=pairs.device).expand_as(pairs)
