"""Estimators of the gradient of E f(b) for the parameters of a distribution over orderings.

Each draws N samples for each of R runs (and G independent groups of N, for measuring its variance), evaluates the
cost, and returns one gradient a sample; their mean over the N samples is the estimate. The cost is never
differentiated. Control variates also say how their samples' gradients move with tau, eta and rho (`Estimate.tune`).

    score function   f(b) s(b), with s the score of the order (or of the noise), less a baseline
    control variate  (f(b) - c(z~)) s(b) + d c(z)/dtheta - d c(z~)/dtheta,  c(z) = eta (f(sigma_tau(z)) - a) + rho(z)
    relaxation       d f(sigma_tau(z))/dtheta (biased for E f)

References:
    Gadetsky, Struminsky, Robinson, Quadrianto, Vetrov, Low-variance black-box gradient estimates for the Plackett-Luce
    distribution, AAAI 2020, arXiv 1911.10036 (REBAR and RELAX for orderings).
    Tucker et al., REBAR, NeurIPS 2017, arXiv 1703.07370; Grathwohl et al., Backpropagation through the void, ICLR
    2018, arXiv 1711.00123; Kool, van Hoof, Welling, Buy 4 REINFORCE samples, get a baseline for free, 2019;
    Struminsky et al., NeurIPS 2021, arXiv 2110.15072 (E- and T-REINFORCE).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from trainables.permutations.costs import Recorder
from trainables.permutations.distributions.noise import Source


@dataclass(frozen=True)
class Estimate:
    """The samples of one update.

    Args:
        order: (R, S, n) with S = G · N.
        values: (R, S), costs; relaxed ones where nothing else was evaluated.
        gradient: (R, S, *shape), one gradient a sample.
        statistics: (R, 3), for `observe`: means of f, f ‖s‖² and ‖s‖²; None if it learns nothing.
        tune: from d loss / d gradient (R, S, *shape) to the loss's gradients for the estimator's `parameters()`; None
            if there are none.
        weights: (R, S), where samples are not equally likely: the mean of weight · value estimates E f; None: of value.
    """

    order: Tensor
    values: Tensor
    gradient: Tensor
    statistics: Tensor | None
    tune: Callable[[Tensor], list[Tensor]] | None = None
    weights: Tensor | None = None

    @property
    def expected(self) -> Tensor:
        """(R,), the estimate of E f."""
        return (self.values if self.weights is None else self.weights * self.values).mean(-1)


class Estimator(Protocol):
    """A way to estimate the gradient, with its own state (baselines, critic)."""

    def estimate(
        self, theta: Tensor, f: Recorder, samples: int, generator: Source, groups: int = 1, look: bool = False
    ) -> Estimate:
        """Draw `groups` · `samples` samples a run. `look`: measure only; nothing is counted or kept as best."""
        ...

    def observe(self, statistics: Tensor) -> None:
        """Learn baselines from the samples of an update, after they were used; (R, 3), the mean over workers."""
        ...

    def parameters(self) -> list[Tensor]:
        """What is trained to lower the variance; empty for most estimators."""
        ...

    def state(self) -> dict[str, Any]: ...

    def load(self, state: dict[str, Any]) -> None: ...


class Stateless:
    """An estimator without a state."""

    def observe(self, statistics: Tensor) -> None:
        """Nothing to learn."""

    def parameters(self) -> list[Tensor]:
        return []

    def state(self) -> dict[str, Any]:
        return {}

    def load(self, state: dict[str, Any]) -> None:
        """Nothing to load."""


def per_entry(values: Tensor, like: Tensor) -> Tensor:
    """(R, S) -> (R, S, 1) or (R, S, 1, 1)."""
    return values.reshape(values.shape + (1,) * (like.ndim - values.ndim))
