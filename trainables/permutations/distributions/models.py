"""The families of distributions over orderings behind one interface: draw, score, posterior, and their pull-backs."""

from __future__ import annotations

import functools
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from trainables.permutations.distributions import matching, plackett_luce
from trainables.permutations.distributions.noise import Source, rand, randn
from trainables.permutations.distributions.plackett_luce import PlackettLuce, gumbel, uniform
from trainables.permutations.distributions.relaxations import sinkhorn


class Posterior(Protocol):
    """Perturbed parameters z given what was drawn."""

    z: Tensor

    def vjp(self, weights: Tensor) -> Tensor:
        """Pull a gradient for z back to the parameters."""
        ...

    def jvp(self, direction: Tensor) -> Tensor:
        """How z moves when the parameters move along a direction: the transpose of `vjp`."""
        ...


class Draw(Protocol):
    """S samples for each of R runs.

    Args:
        order: (R, S, n) int64.
        z: (R, S, *shape), the perturbed parameters that gave the order.
    """

    order: Tensor
    z: Tensor

    def score(self) -> Tensor:
        """Gradient of the log-probability of what was drawn (the order, or the trace) for the parameters."""
        ...

    def noise_score(self) -> Tensor:
        """The same for the noise itself: E[noise_score | drawn] = score, so its variance is never smaller."""
        ...

    def log_prob(self) -> Tensor:
        """Log-probability (R, S) of what was drawn."""
        ...

    def pull(self, weights: Tensor) -> Tensor:
        """Pull a gradient for z back to the parameters."""
        ...

    def push(self, direction: Tensor) -> Tensor:
        """How z moves when the parameters move along a direction: the transpose of `pull`."""
        ...

    def posterior(self, generator: Source) -> Posterior:
        """A fresh z, given the same order or trace."""
        ...


class Model(Protocol):
    """A family of distributions over orderings, with parameters (R, *shape)."""

    def shape(self, n: int) -> tuple[int, ...]:
        """Shape of one run's parameters."""
        ...

    def draw(self, theta: Tensor, samples: int, generator: Source) -> Draw:
        """S samples for each run; theta (R, *shape)."""
        ...

    def mode(self, theta: Tensor, generator: Source) -> Tensor:
        """A most probable ordering of each run, ties broken at random; (R, n)."""
        ...


class _PlackettLucePosterior:
    def __init__(self, posterior: plackett_luce.Posterior, draw: _PlackettLuceDraw) -> None:
        self._posterior, self._draw, self.z = posterior, draw, posterior.z

    def vjp(self, weights: Tensor) -> Tensor:
        return self._draw.pull(self._posterior.vjp(weights))

    def jvp(self, direction: Tensor) -> Tensor:
        return self._posterior.jvp(self._draw.push(direction))


class _PlackettLuceDraw:
    def __init__(self, theta: Tensor, samples: int, generator: Source) -> None:
        self._logits = theta.log_softmax(-1).unsqueeze(-2)
        self._noise = gumbel((theta.shape[0], samples, theta.shape[-1]), theta, generator)
        self.z = self._logits + self._noise
        self.order = self.z.argsort(dim=-1, descending=True, stable=True)
        self._placed = plackett_luce.Placed(self._logits, self.order)

    @functools.cached_property
    def _probs(self) -> Tensor:
        return self._logits.exp()

    def score(self) -> Tensor:
        return self._placed.score()

    def noise_score(self) -> Tensor:
        return 1 - torch.exp(-self._noise)

    def log_prob(self) -> Tensor:
        return self._placed.log_prob()

    def pull(self, weights: Tensor) -> Tensor:
        return weights - self._probs * weights.sum(-1, keepdim=True)

    def push(self, direction: Tensor) -> Tensor:
        return direction - (self._probs * direction).sum(-1, keepdim=True)

    def posterior(self, generator: Source) -> Posterior:
        v = uniform(self.z.shape, self.z, generator)
        return _PlackettLucePosterior(self._placed.posterior(v), self)


class PlackettLuceModel:
    """One logit for each item; z is centred by log_softmax, so that every gradient's components sum to 0."""

    def shape(self, n: int) -> tuple[int, ...]:
        return (n,)

    def draw(self, theta: Tensor, samples: int, generator: Source) -> Draw:
        return _PlackettLuceDraw(theta, samples, generator)

    def mode(self, theta: Tensor, generator: Source) -> Tensor:
        return PlackettLuce(theta).mode_at_random(generator)


class _MatchingDraw:
    def __init__(self, theta: Tensor, samples: int, generator: Source) -> None:
        self._model = matching.Matching(theta.unsqueeze(1))
        self._noise = gumbel((theta.shape[0], samples, *theta.shape[1:]), theta, generator)
        self.z = self._model.logits + self._noise
        self._trace = matching.race(self.z)
        self.order = self._trace.order

    def score(self) -> Tensor:
        return self._model.score(self._trace)

    def noise_score(self) -> Tensor:
        return 1 - torch.exp(-self._noise)

    def log_prob(self) -> Tensor:
        return self._model.log_prob(self._trace)

    def pull(self, weights: Tensor) -> Tensor:
        return weights

    def push(self, direction: Tensor) -> Tensor:
        return direction

    def posterior(self, generator: Source) -> Posterior:
        v, rest = uniform(self.order.shape, self.z, generator), uniform(self.z.shape, self.z, generator)
        return self._model.posterior(self._trace, v, rest)


def assignment(scores: Tensor) -> Tensor:
    """The ordering with the largest sum of scores[place, item], (..., n) from (..., n, n), by the Hungarian method."""
    from scipy.optimize import linear_sum_assignment  # takes a second to import; only sinkhorn needs it

    flat = scores.detach().cpu().reshape(-1, *scores.shape[-2:]).numpy()
    columns = np.stack([linear_sum_assignment(matrix, maximize=True)[1] for matrix in flat])
    return torch.from_numpy(columns).to(scores.device).reshape(scores.shape[:-1])


class MatchingModel:
    """One logit for each (place, item) pair; the score is that of the trace of the race."""

    def shape(self, n: int) -> tuple[int, ...]:
        return (n, n)

    def draw(self, theta: Tensor, samples: int, generator: Source) -> Draw:
        return _MatchingDraw(theta, samples, generator)

    def mode(self, theta: Tensor, generator: Source) -> Tensor:
        """The likeliest pair first, and so on (greedy; the mode of the permutation itself is intractable)."""
        tiny = rand(theta.shape, generator, torch.float64).to(theta)
        return matching.race(theta + 1e-9 * tiny).order


class _ReparameterisedDraw:
    """Draws of a model whose gradient is not a score of the order; only `order`, `z` and `noise` are defined."""

    def __init__(self, order: Tensor, z: Tensor, noise: Tensor) -> None:
        self.order, self.z, self.noise = order, z, noise

    def score(self) -> Tensor:
        return self.noise

    def noise_score(self) -> Tensor:
        return self.noise

    def log_prob(self) -> Tensor:
        raise NotImplementedError("the order has no tractable probability in this model")

    def pull(self, weights: Tensor) -> Tensor:
        return weights

    def push(self, direction: Tensor) -> Tensor:
        return direction

    def posterior(self, generator: Source) -> Posterior:
        raise NotImplementedError("the order has no tractable posterior in this model")


class GaussianModel:
    """argsort(theta + scale · normal noise): Thurstone's model, case V. `score` is that of the noise, noise / scale."""

    def __init__(self, scale: float) -> None:
        self._scale = scale

    def shape(self, n: int) -> tuple[int, ...]:
        return (n,)

    def draw(self, theta: Tensor, samples: int, generator: Source) -> Draw:
        shape = (theta.shape[0], samples, theta.shape[-1])
        noise = randn(shape, generator, theta.dtype).to(theta.device)
        z = theta.unsqueeze(1) + self._scale * noise
        return _ReparameterisedDraw(z.argsort(dim=-1, descending=True, stable=True), z, noise / self._scale)

    def mode(self, theta: Tensor, generator: Source) -> Tensor:
        return PlackettLuce(theta).mode_at_random(generator)


class SinkhornModel:
    """Hungarian assignment of theta + noise · Gumbel; its soft version is the Sinkhorn operator of the same matrix."""

    def __init__(self, iterations: int, noise: float) -> None:
        self._iterations, self._noise = iterations, noise

    def shape(self, n: int) -> tuple[int, ...]:
        return (n, n)

    def draw(self, theta: Tensor, samples: int, generator: Source) -> Draw:
        noise = self._noise * gumbel((theta.shape[0], samples, *theta.shape[1:]), theta, generator)
        z = theta.unsqueeze(1) + noise
        return _ReparameterisedDraw(assignment(z), z, noise)

    def soft(self, z: Tensor, tau: float) -> Tensor:
        """(..., n, n), nearly doubly stochastic."""
        return sinkhorn(z / tau, self._iterations).exp()

    def mode(self, theta: Tensor, generator: Source) -> Tensor:
        tiny = rand(theta.shape, generator, torch.float64).to(theta)
        return assignment(theta + 1e-9 * tiny)
