"""The Plackett-Luce distribution over orderings: log-probability, score, sampling, and Gumbels given an ordering.

An ordering `b` lists items, the first one first; `b.argsort(-1)` gives each item's position. With permuted logits
l_k = theta[b[k]] and R_k = logsumexp(l_k, ..., l_{n-1})

    log p(b) = sum_k l_k - R_k                                                                     (Plackett 1975)

An ordering is the order of arrival in a race of exponentials with rates exp(theta), which is where the sampling and
the conditional ("posterior") Gumbels come from (Gadetsky et al. 2020, arXiv 1911.10036, appendix A).
"""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints
from torch.distributions.constraints import Constraint
from torch.distributions.utils import clamp_probs

from raybayes.errors import SpecError
from trainables.permutations.distributions.noise import Source, rand

ENUMERABLE = 9  # 9! = 362,880 orderings; one more would take gigabytes


class _Permutation(Constraint):
    """Rows that hold each of 0 .. n-1 once."""

    is_discrete = True
    event_dim = 1

    def check(self, value: Tensor) -> Tensor:
        return (value.sort(-1).values == torch.arange(value.shape[-1], device=value.device)).all(-1)


permutation = _Permutation()


def uniform(shape: tuple[int, ...] | torch.Size, like: Tensor, generator: Source | None = None) -> Tensor:
    """Uniform numbers of the dtype and device of `like`, clamped to [eps, 1 - eps] so that their logarithms are finite.

    They are drawn where the generator lives: with the CPU generator of a seed, every device sees the same numbers.
    """
    return clamp_probs(rand(shape, generator, like.dtype, like.device)).to(like.device)


def gumbel(shape: tuple[int, ...] | torch.Size, like: Tensor, generator: Source | None = None) -> Tensor:
    """Standard Gumbel noise."""
    return uniform(shape, like, generator).log_().neg_().log_().neg_()


def tail_logsumexp(x: Tensor) -> Tensor:
    """R_k = logsumexp(x_k, ..., x_{n-1}) along the last dimension."""
    return x.flip(-1).logcumsumexp(-1).flip(-1)


def all_orderings(n: int, device: torch.device | None = None) -> Tensor:
    """Every ordering of n items, (n!, n), in lexicographic order.

    Raises:
        SpecError: n is too large to enumerate.
    """
    if n > ENUMERABLE:
        raise SpecError(f"{n} items have {math.factorial(n):,} orderings; enumeration stops at {ENUMERABLE} items.")
    return torch.tensor(list(itertools.permutations(range(n))), dtype=torch.long, device=device)


def log_prob(logits: Tensor, order: Tensor) -> Tensor:
    """log p(b): logits (..., n), order (..., k) with k <= n; the probability of the first k places where k < n.

    The shapes before the last dimension broadcast.
    """
    k = order.shape[-1]
    n = logits.shape[-1]
    if k == n:
        return Placed(logits, order).log_prob()
    rest = _complete(order, n)
    permuted = _take(logits, rest)
    return (permuted - tail_logsumexp(permuted))[..., :k].sum(-1)


def score(logits: Tensor, order: Tensor) -> Tensor:
    """The gradient of log p(b) for the logits, in closed form: component b[k] is 1 - sum_{i <= k} exp(l_k - R_i).

    Every exponent is at most 0, so no logit is too large. The components sum to 0.

    Args:
        logits: (..., n).
        order: (..., n).

    Returns:
        (..., n), without a graph.
    """
    return Placed(logits.detach(), order).score()


class Placed:
    """Logits in the order of an ordering, from which its probability, its score and its Gumbels follow.

    Args:
        logits: (..., n).
        order: (..., n).
    """

    def __init__(self, logits: Tensor, order: Tensor) -> None:
        self.order = order
        self.logits = _take(logits, order)
        self.tails = tail_logsumexp(self.logits)

    def log_prob(self) -> Tensor:
        """(...)"""
        return (self.logits - self.tails).sum(-1)

    def score(self) -> Tensor:
        """(..., n), see `score`."""
        inner = 1 - torch.exp(self.logits + torch.logcumsumexp(-self.tails, -1))
        return self.by_item(inner)

    def by_item(self, by_place: Tensor) -> Tensor:
        """From the order of places to that of items."""
        return torch.empty_like(by_place).scatter(-1, self.order.expand_as(by_place), by_place)

    def posterior(self, v: Tensor) -> Posterior:
        """Gumbels given the ordering; v (..., n), fresh uniform draws."""
        return Posterior(self, v)


class Posterior:
    """Gumbels z~ given that argsort(z~, descending) = b, and the closed form of their Jacobian.

    The gaps between arrivals are independent exponentials with the rate that is not placed yet:
    q_k = log(-log v_k) - R_k, T_k = logcumsumexp(q)_k, z~[b[k]] = -T_k, v uniform and independent of what made b.

    Args:
        placed: the ordering and its logits; z~ is differentiable in them by `vjp` and `jvp`, and by autograd where they
            carry a graph.
        v: (..., n), uniform.
    """

    def __init__(self, placed: Placed, v: Tensor) -> None:
        self._placed = placed
        self._gaps = v.log().neg_().log_() - placed.tails
        self._times = self._gaps.logcumsumexp(-1)
        self.z = placed.by_item(-self._times)
        self._entries: Tensor | None = None

    def vjp(self, weights: Tensor) -> Tensor:
        """J^T w with J = dz~/dlogits; (..., n). J's entries are >= 0 and its rows sum to 1.

        dz~[b[k]] / dl_j = sum_{i <= min(j, k)} exp(q_i - T_k) exp(l_j - R_i), with exponents of at most 0.
        """
        w = weights.gather(-1, self._placed.order)
        return self._placed.by_item((w.unsqueeze(-2) @ self._jacobian()).squeeze(-2))

    def jvp(self, direction: Tensor) -> Tensor:
        """J u, (..., n)."""
        u = direction.gather(-1, self._placed.order)
        return self._placed.by_item((self._jacobian() @ u.unsqueeze(-1)).squeeze(-1))

    def _jacobian(self) -> Tensor:
        """(..., n, n) in the order of places: row k holds dz~[b[k]] / dl."""
        if self._entries is None:
            upper = _upper(self._gaps.shape[-1], self._gaps)  # (i, k): 0 where i <= k, else -inf
            gaps = torch.exp(self._gaps.unsqueeze(-1) - self._times.unsqueeze(-2) + upper)
            shares = torch.exp(self._placed.logits.unsqueeze(-2) - self._placed.tails.unsqueeze(-1) + upper)
            self._entries = gaps.transpose(-1, -2) @ shares
        return self._entries


class PlackettLuce(Distribution):
    """Orderings of n items, drawn place by place with probability proportional to exp(logit) among the items left.

    Args:
        logits: (..., n), finite, n >= 2; shape before the last dimension is the batch.
        validate_args: check arguments and values (default: as torch.distributions is set).

    Raises:
        SpecError: fewer than 2 items, or a logit that is not finite.

    Example:
        >>> import torch
        >>> p = PlackettLuce(torch.tensor([2.0, 1.0, 0.0]))
        >>> p.log_prob(torch.tensor([0, 1, 2])).exp()
        tensor(0.4863)
        >>> p.sample((5,), generator=torch.Generator().manual_seed(0)).shape
        torch.Size([5, 3])

    References:
        R. L. Plackett, The analysis of permutations, 1975; R. D. Luce, Individual choice behavior, 1959.
    """

    arg_constraints = {"logits": constraints.independent(constraints.real, 1)}  # noqa: RUF012 - as torch does
    has_enumerate_support = True

    def __init__(self, logits: Tensor, validate_args: bool | None = None) -> None:
        if logits.ndim < 1 or logits.shape[-1] < 2:
            raise SpecError(
                f"found logits of shape {tuple(logits.shape)}; an ordering needs n >= 2 items in the last dimension."
            )
        if not torch.isfinite(logits).all():
            raise SpecError("found logits that are not finite; lower lr or clip them.")
        self.logits = logits
        super().__init__(logits.shape[:-1], logits.shape[-1:], validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self) -> Constraint:
        return permutation

    @property
    def mode(self) -> Tensor:
        """The most probable ordering. Equal logits keep the order of their numbers: see `mode_at_random`."""
        return self.logits.argsort(dim=-1, descending=True, stable=True)

    def mode_at_random(self, generator: Source | None = None) -> Tensor:
        """The most probable ordering, ties broken at random.

        At equal logits the plain `mode` is 0, 1, ..., n-1, which is the optimum of many test problems by construction.
        """
        drawn = rand(self.logits.shape, generator, torch.get_default_dtype(), self.logits.device)
        relabel = drawn.argsort(-1).to(self.logits.device)
        return relabel.gather(-1, self.logits.gather(-1, relabel).argsort(dim=-1, descending=True, stable=True))

    def expand(self, batch_shape: Any, _instance: Any = None) -> PlackettLuce:
        return PlackettLuce(self.logits.expand(torch.Size(batch_shape) + self.event_shape), self._validate_args)

    def log_prob(self, value: Tensor) -> Tensor:
        """log p(b); value (..., n)."""
        if self._validate_args:
            self._validate_sample(value)
        return log_prob(self.logits, value)

    def log_prob_top_k(self, prefix: Tensor) -> Tensor:
        """log p of the first k places, (..., k)."""
        return log_prob(self.logits, prefix)

    def score(self, value: Tensor) -> Tensor:
        """d log p(b) / d logits, (..., n), in closed form and without a graph."""
        return score(self.logits, value)

    def perturbed(self, sample_shape: Any = (), generator: torch.Generator | None = None) -> Tensor:
        """z = logits + Gumbel noise, sample_shape + batch + (n,). Its descending argsort is a sample."""
        return self.logits + gumbel(self._extended_shape(torch.Size(sample_shape)), self.logits, generator)

    def sample(self, sample_shape: Any = (), generator: torch.Generator | None = None) -> Tensor:
        """Orderings, sample_shape + batch + (n,), int64. Without a generator the global one is used, as in torch."""
        with torch.no_grad():
            return self.perturbed(sample_shape, generator).argsort(dim=-1, descending=True, stable=True)

    def sample_top_k(self, k: int, sample_shape: Any = (), generator: torch.Generator | None = None) -> Tensor:
        """The first k places of orderings, sample_shape + batch + (k,)."""
        if not 1 <= k <= self.event_shape[0]:
            raise SpecError(f"found k = {k}; a prefix has 1 to {self.event_shape[0]} places.")
        with torch.no_grad():
            return self.perturbed(sample_shape, generator).argsort(dim=-1, descending=True, stable=True)[..., :k]

    def posterior(self, value: Tensor, v: Tensor | None = None, generator: torch.Generator | None = None) -> Posterior:
        """Gumbels given the ordering `value` (..., n). `v` must be fresh: what made `value` would bias the result."""
        if v is None:
            v = uniform(torch.broadcast_shapes(value.shape, self.logits.shape), self.logits, generator)
        return Placed(self.logits, value).posterior(v)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """All orderings, (n!,) + batch + (n,), for n <= 9."""
        n = self.event_shape[0]
        values = all_orderings(n, self.logits.device).reshape((-1,) + (1,) * len(self.batch_shape) + (n,))
        return values.expand((-1, *self.batch_shape, n)) if expand else values


@functools.lru_cache(maxsize=16)
def _upper_mask(n: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.full((n, n), -math.inf, dtype=dtype, device=device).tril(-1)


def _upper(n: int, like: Tensor) -> Tensor:
    return _upper_mask(n, like.dtype, like.device)


def _take(logits: Tensor, order: Tensor) -> Tensor:
    if logits.shape[:-1] == order.shape[:-1]:
        return logits.gather(-1, order)
    if order.ndim == logits.ndim > 1 and logits.shape[:-1] == (*order.shape[:-2], 1):  # each update's (R, 1, n)
        return logits.expand(*order.shape[:-1], -1).gather(-1, order)
    shape = torch.broadcast_shapes(logits.shape[:-1], order.shape[:-1])  # a sixth of a millisecond
    return logits.expand(*shape, logits.shape[-1]).gather(-1, order.expand(*shape, order.shape[-1]))


def _complete(prefix: Tensor, n: int) -> Tensor:
    """The prefix followed by the items that are not in it, in the order of their numbers."""
    placed = torch.zeros(*prefix.shape[:-1], n, dtype=torch.long, device=prefix.device)
    ranks = torch.arange(-prefix.shape[-1], 0, device=prefix.device).expand_as(prefix)
    return placed.scatter(-1, prefix, ranks).argsort(dim=-1, stable=True)
