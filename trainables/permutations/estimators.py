"""Estimators of the gradient of E f(b) for the parameters of a distribution over orderings.

Each one draws N samples for each of R runs (and G independent groups of N, for measuring its variance), evaluates the
cost, and returns one gradient a sample; their mean over the N samples is the estimate. Nothing is back-propagated
through the cost. Control variates also say how their samples' gradients move with tau, eta and rho (`Estimate.tune`).

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

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from raybayes.errors import SpecError
from trainables.permutations import plackett_luce
from trainables.permutations.costs import Recorder, RelaxedValue
from trainables.permutations.critic import Critic
from trainables.permutations.models import Model, SinkhornModel
from trainables.permutations.noise import Source
from trainables.permutations.relaxations import RELAXATIONS, Relaxed, permutation_matrix

Baseline = Literal["none", "ema", "best", "loo"]
STATISTICS = 3  # f, f ‖s‖², ‖s‖²
_LEARNT = ("ema", "best")


@dataclass(frozen=True)
class Estimate:
    """One update's worth of samples.

    Args:
        order: (R, S, n) with S = G · N.
        values: (R, S), costs; relaxed ones where nothing else was evaluated.
        gradient: (R, S, *shape), one gradient a sample.
        statistics: (R, 3), what `observe` wants: means of f, f ‖s‖² and ‖s‖²; None if it learns nothing.
        tune: from d loss / d gradient (R, S, *shape) to the loss's gradients for the estimator's `parameters()`; None
            if there are none.
    """

    order: Tensor
    values: Tensor
    gradient: Tensor
    statistics: Tensor | None
    tune: Callable[[Tensor], list[Tensor]] | None = None


class Estimator(Protocol):
    """A way to estimate the gradient, with its own state (baselines, critic)."""

    def estimate(
        self, theta: Tensor, f: Recorder, samples: int, generator: Source, groups: int = 1, look: bool = False
    ) -> Estimate:
        """Draw `groups` · `samples` samples a run. `look`: measure only; nothing is counted or remembered."""
        ...

    def observe(self, statistics: Tensor) -> None:
        """Learn baselines from the samples of an update, after they were used; (R, 3), the mean over workers."""
        ...

    def parameters(self) -> list[Tensor]:
        """What is trained to lower the variance; empty for most."""
        ...

    def state(self) -> dict[str, Any]: ...

    def load(self, state: dict[str, Any]) -> None: ...


class RunningBaseline:
    """A constant a for each run that never depends on the sample it is subtracted from.

    Args:
        kind: "none" (0), "ema" (moving average of past costs), "best" (moving estimate of E[f ‖s‖²] / E[‖s‖²], the
            constant with the smallest variance), "loo" (mean of the other N - 1 samples of the same update).
        momentum: share of the past in a moving average; one number, or (R, 1).

    Raises:
        SpecError: leave-one-out with fewer than 2 samples (when used).
    """

    def __init__(self, kind: Baseline, momentum: float | Tensor, runs: int, like: Tensor) -> None:
        self.kind, self._momentum = kind, momentum
        self._averages = torch.zeros(runs, STATISTICS, dtype=like.dtype, device=like.device)
        self._seen = 0

    def __call__(self, values: Tensor, samples: int) -> Tensor:
        """(R, S) or (R, 1), to be subtracted from values (R, S)."""
        if self.kind == "loo":
            return leave_one_out(values, samples)
        if self.kind == "ema":  # corrected for its start at 0: one update with a = 0 is enough to slow Adam for long
            return self._averages[:, :1] / (1 - self._momentum**self._seen) if self._seen else self._averages[:, :1]
        if self.kind == "best":
            return self._averages[:, 1:2] / self._averages[:, 2:3].clamp_min(1e-300)
        return self._averages[:, :1]  # never observed: 0

    def statistics(self, values: Tensor, score: Tensor) -> Tensor | None:
        """(R, 3): means of f, f ‖s‖² and ‖s‖² of an update's samples; None if they are not wanted."""
        if self.kind not in _LEARNT:
            return None
        squares = score.flatten(2).square().sum(-1)
        return torch.stack([values.mean(-1), (values * squares).mean(-1), squares.mean(-1)], -1)

    def observe(self, statistics: Tensor) -> None:
        if self.kind in _LEARNT:
            self._averages = self._momentum * self._averages + (1 - self._momentum) * statistics
            self._seen += 1

    def state(self) -> dict[str, Any]:
        return {"averages": self._averages, "seen": self._seen}

    def load(self, state: dict[str, Any]) -> None:
        self._averages, self._seen = state["averages"], state["seen"]


def leave_one_out(values: Tensor, samples: int) -> Tensor:
    """The mean of the other samples of the same group; values (R, G · samples).

    Raises:
        SpecError: fewer than 2 samples.
    """
    if samples < 2:
        raise SpecError(
            f"found samples = {samples}; leaving one out (rloo, the + estimators, centring = loo) needs samples >= 2."
        )
    grouped = values.unflatten(-1, (-1, samples))
    return ((grouped.sum(-1, keepdim=True) - grouped) / (samples - 1)).flatten(-2)


def _per_entry(values: Tensor, like: Tensor) -> Tensor:
    """(R, S) -> (R, S, 1) or (R, S, 1, 1)."""
    return values.reshape(values.shape + (1,) * (like.ndim - values.ndim))


def _std(values: Tensor, samples: int) -> Tensor:
    grouped = values.unflatten(-1, (-1, samples))
    return grouped.std(-1, keepdim=True, unbiased=False).clamp_min(1e-12).expand_as(grouped).flatten(-2)


class ScoreFunction:
    """(f - a) s: REINFORCE, with a baseline, RLOO, and, with the noise's score, the E-REINFORCE family.

    Args:
        of: "order" (the order, or the matching model's trace: T-REINFORCE) or "noise" (E-REINFORCE).
        scale_by_std: divide advantages by their standard deviation over the update's samples; adds O(1/N) bias.
        entropy: weight of log p(b) added to the cost, in standard deviations of the first update's costs; it keeps the
            distribution broad. One number, or (R, 1).

    Attributes:
        share: of that weight which is left; it falls during a run.
    """

    def __init__(
        self,
        model: Model,
        baseline: RunningBaseline,
        of: Literal["order", "noise"] = "order",
        scale_by_std: bool = False,
        entropy: float | Tensor = 0.0,
    ) -> None:
        self._model, self._baseline, self._of, self._scale = model, baseline, of, scale_by_std
        self._entropy, self.share = entropy, 1.0
        self._broad = isinstance(entropy, Tensor) or entropy > 0
        self._unit: Tensor | None = None

    def estimate(
        self, theta: Tensor, f: Recorder, samples: int, generator: Source, groups: int = 1, look: bool = False
    ) -> Estimate:
        draw = self._model.draw(theta, groups * samples, generator)
        values = f.look(draw.order) if look else f(draw.order)
        costs = values
        if self._broad:
            if self._unit is None:
                self._unit = values.std(-1, keepdim=True)
            costs = values + self._entropy * self.share * self._unit * draw.log_prob()
        score = draw.score() if self._of == "order" else draw.noise_score()
        advantage = costs - self._baseline(costs, samples)
        if self._scale:
            advantage = advantage / _std(costs, samples)
        gradient = _per_entry(advantage, score) * score
        return Estimate(draw.order, values, gradient, self._baseline.statistics(costs, score))

    def observe(self, statistics: Tensor) -> None:
        self._baseline.observe(statistics)

    def parameters(self) -> list[Tensor]:
        return []

    def state(self) -> dict[str, Any]:
        return {**self._baseline.state(), "unit": self._unit}

    def load(self, state: dict[str, Any]) -> None:
        self._baseline.load(state)
        self._unit = state["unit"]


@dataclass(frozen=True)
class _Control:
    """c and dc/dz at z, with what they were made of."""

    z: Tensor
    value: Tensor
    slope: Tensor
    centre: Tensor
    soft: Relaxed | None
    relaxed: RelaxedValue | None


class ControlVariate:
    """REBAR, RELAX and their centred versions, with every derivative in closed form.

    c(z) = eta (f(sigma_tau(z)) - a) + rho(z); without a relaxation c = rho alone, which needs the cost as a black box.
    The gradient of E‖g‖² for (tau, eta, rho) is the gradient of the estimator's total variance, since E g does not
    depend on them: ‖g‖² of one sample is the training loss.

    Args:
        relaxation: "neuralsort", "softsort", or None (black box).
        tau: temperature at the start (> 0); learnt as its logarithm where `learn_tau`.
        eta: scale of the relaxed cost at the start; learnt where `learn_eta`.
        critic: rho, or None (REBAR).
        centring: the baseline a, subtracted from the cost and from the relaxed cost.

    Raises:
        SpecError: tau <= 0; or neither a relaxation nor a critic.
    """

    def __init__(
        self,
        model: Model,
        relaxation: str | None,
        tau: float,
        eta: float,
        critic: Critic | None,
        centring: RunningBaseline,
        like: Tensor,
        learn_tau: bool = True,
        learn_eta: bool = True,
    ) -> None:
        if relaxation is not None and not tau > 0:
            raise SpecError(f"found tau = {tau}; a temperature must be above 0 (the paper starts at 1).")
        if relaxation is None and critic is None:
            raise SpecError("a control variate needs a relaxation of the cost or a critic; found neither.")
        self._model, self._critic, self._centring = model, critic, centring
        self._relax = None if relaxation is None else RELAXATIONS[relaxation]
        start = torch.tensor([float(tau) if relaxation else 1.0, eta], dtype=like.dtype, device=like.device)
        self.log_tau, self.eta = start[0].log().repeat(like.shape[0]), start[1].repeat(like.shape[0])
        self._learn_tau, self._learn_eta = learn_tau and relaxation is not None, learn_eta and relaxation is not None

    def estimate(
        self, theta: Tensor, f: Recorder, samples: int, generator: Source, groups: int = 1, look: bool = False
    ) -> Estimate:
        draw = self._model.draw(theta.detach(), groups * samples, generator)
        values = f.look(draw.order) if look else f(draw.order)
        posterior = draw.posterior(generator)
        score = draw.score()
        centre = self._centring(values, samples)
        at = torch.cat([draw.z, posterior.z], 1)  # one pass through relaxation and critic for both
        c = self._control(at, f, centre.expand_as(values).repeat(1, 2), look)
        slope, slope_given = c.slope.chunk(2, 1)
        inner = draw.pull(slope) - posterior.vjp(slope_given)
        gradient = _per_entry(values - centre - c.value[:, values.shape[1] :], score) * score + inner

        def tune(direction: Tensor) -> list[Tensor]:
            """A gradient holds -c(z~) s, and the slopes at z and z~ through linear maps: their transposes come here."""
            weight = -(direction * score).flatten(2).sum(-1)
            along = torch.cat([draw.push(direction), -posterior.jvp(direction)], 1)
            return self._sensitivity(c, torch.cat([torch.zeros_like(weight), weight], 1), along)

        return Estimate(draw.order, values, gradient, self._centring.statistics(values, score), tune)

    def _control(self, z: Tensor, f: Recorder, centre: Tensor, look: bool) -> _Control:
        value: Tensor | float = 0.0
        slope: Tensor | float = 0.0
        soft = relaxed = None
        if self._relax is not None:
            soft = self._relax(z, self.log_tau.exp()[:, None, None, None])
            before = f.relaxed_evaluations
            relaxed = f.relaxed(soft.matrix)
            if look:
                f.relaxed_evaluations = before
            value = self.eta[:, None] * (relaxed.value - centre)
            slope = self.eta[:, None, None] * soft.pull(relaxed.gradient)
        if self._critic is not None:
            rho, gradient = self._critic(z.flatten(2))
            value, slope = value + rho, slope + gradient.unflatten(2, z.shape[2:])
        assert isinstance(value, Tensor)
        assert isinstance(slope, Tensor)
        return _Control(z, value, slope, centre, soft, relaxed)

    def _sensitivity(self, c: _Control, weight: Tensor, direction: Tensor) -> list[Tensor]:
        """The gradient of sum_s weight_s c(z_s) + direction_s · dc/dz_s for `parameters()`."""
        found = []
        if c.soft is not None and c.relaxed is not None and (self._learn_tau or self._learn_eta):
            moves, gradient = c.soft.along(direction), c.relaxed.gradient
            if self._learn_tau:
                entries = _per_entry(weight, gradient) * moves.warmer + moves.moved_warmer
                bent = (gradient * entries).sum((-1, -2)) + (c.relaxed.bend(moves.warmer) * moves.moved).sum((-1, -2))
                found.append(self.eta * bent.sum(1))
            if self._learn_eta:
                moved = (gradient * moves.moved).sum((-1, -2))
                found.append((weight * (c.relaxed.value - c.centre) + moved).sum(1))
        if self._critic is not None:
            found += self._critic.sensitivity(c.z.flatten(2), weight, direction.flatten(2))
        return found

    def observe(self, statistics: Tensor) -> None:
        self._centring.observe(statistics)

    def parameters(self) -> list[Tensor]:
        own = [self.log_tau] * self._learn_tau + [self.eta] * self._learn_eta
        return own + ([] if self._critic is None else self._critic.parameters())

    def state(self) -> dict[str, Any]:
        return {**self._centring.state(), "parameters": [tensor.clone() for tensor in self.parameters()]}

    def load(self, state: dict[str, Any]) -> None:
        self._centring.load(state)
        for mine, saved in zip(self.parameters(), state["parameters"], strict=True):
            mine.copy_(saved)


class _Stateless:
    """An estimator that remembers nothing."""

    def observe(self, statistics: Tensor) -> None:
        """Nothing to learn."""

    def parameters(self) -> list[Tensor]:
        return []

    def state(self) -> dict[str, Any]:
        return {}

    def load(self, state: dict[str, Any]) -> None:
        """Nothing to load."""


class Relaxation(_Stateless):
    """The gradient of the relaxed cost by reparameterisation; `hard` evaluates df/dP at the permutation itself
    (straight through). Biased for E f, because the relaxed problem is another problem.

    Raises:
        SpecError: tau <= 0.
    """

    def __init__(self, model: Model, relaxation: str, tau: float, hard: bool) -> None:
        if not tau > 0:
            raise SpecError(f"found tau = {tau}; a temperature must be above 0.")
        self._model, self._relax, self._tau, self._hard = model, RELAXATIONS[relaxation], tau, hard

    def estimate(
        self, theta: Tensor, f: Recorder, samples: int, generator: Source, groups: int = 1, look: bool = False
    ) -> Estimate:
        draw = self._model.draw(theta.detach(), groups * samples, generator)
        values = f.look(draw.order) if look else f(draw.order)
        soft = self._relax(draw.z, torch.tensor(self._tau, dtype=theta.dtype, device=theta.device))
        relaxed = f.relaxed(permutation_matrix(draw.order, theta.dtype) if self._hard else soft.matrix)
        pulled = draw.pull(soft.pull(relaxed.gradient))
        return Estimate(draw.order, values, pulled, None)


class Sinkhorn(_Stateless):
    """The gradient of the cost of a Gumbel-Sinkhorn matrix; one backward pass through the normalisations. Biased.

    Raises:
        SpecError: tau <= 0.
    """

    def __init__(self, model: SinkhornModel, tau: float) -> None:
        if not tau > 0:
            raise SpecError(f"found tau = {tau}; a temperature must be above 0.")
        self._model, self._tau = model, tau

    def estimate(
        self, theta: Tensor, f: Recorder, samples: int, generator: Source, groups: int = 1, look: bool = False
    ) -> Estimate:
        draw = self._model.draw(theta.detach(), groups * samples, generator)
        values = f.look(draw.order) if look else f(draw.order)
        z = draw.z.detach().requires_grad_()
        with torch.enable_grad():
            matrix = self._model.soft(z, self._tau)
        pulled = torch.autograd.grad(matrix, z, f.relaxed(matrix.detach()).gradient)[0]
        return Estimate(draw.order, values, pulled, None)


class Exact(_Stateless):
    """The gradient of the Plackett-Luce expectation from all n! costs (n <= 9), place by place instead of one by one.

    Orderings share their beginnings. With V(S) the expected cost once the places S are filled and q(j | S) the chance
    that item j comes next, V(S) = sum_j q(j | S) V(S, j), and the gradient for theta_j is
    sum_S p(S) q(j | S) (V(S, j) - V(S)). In lexicographic order, the beginnings of one length are one axis.
    """

    def __init__(self, n: int, device: torch.device) -> None:
        self._orders = plackett_luce.all_orderings(n, device)
        self._values: Tensor | None = None
        self._counted = False  # a resumed run looks its costs up again without counting them twice
        self._left = [self._remaining(n, place) for place in range(n - 1)]

    def _remaining(self, n: int, place: int) -> Tensor:
        """(n - place, beginnings of that length), the items not yet placed, in the order of their numbers."""
        return self._orders[:: math.factorial(n - place), place:].T.contiguous()  # sums over the first axis are quick

    def state(self) -> dict[str, Any]:
        return {"counted": self._counted}

    def load(self, state: dict[str, Any]) -> None:
        self._counted = state["counted"]

    def expectation(self, theta: Tensor, f: Recorder) -> tuple[Tensor, Tensor]:
        """E f (R,) and its gradient (R, n)."""
        if self._values is None:
            everything = self._orders.expand(theta.shape[0], -1, -1)
            self._values, self._counted = f.look(everything) if self._counted else f(everything), True
        if theta.shape[0] > 1 and bool((theta == theta[:1]).all() & (self._values == self._values[:1]).all()):
            mean, gradient = self._moments(theta[:1], self._values[:1])  # all runs are the same run
            return mean.expand(theta.shape[0]), gradient.expand_as(theta)
        return self._moments(theta, self._values)

    def _moments(self, theta: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        chances, gains = [], []
        for left in reversed(self._left):
            chance = theta[:, left].softmax(1)  # (R, items left, beginnings)
            after = values.unflatten(1, (-1, len(left))).transpose(1, 2)
            values = (chance * after).sum(1)
            chances.append(chance)
            gains.append(chance * (after - values.unsqueeze(1)))
        gradient, reached = torch.zeros_like(theta), torch.ones_like(theta[:, :1])
        for left, chance, gain in zip(self._left, reversed(chances), reversed(gains), strict=True):
            weighted = reached.unsqueeze(1) * gain
            gradient.scatter_add_(1, left.reshape(1, -1).expand(len(theta), -1), weighted.flatten(1))
            reached = (reached.unsqueeze(1) * chance).transpose(1, 2).flatten(1)
        return values.squeeze(-1), gradient

    def estimate(
        self, theta: Tensor, f: Recorder, samples: int, generator: Source, groups: int = 1, look: bool = False
    ) -> Estimate:
        mean, gradient = self.expectation(theta, f)
        orders = plackett_luce.PlackettLuce(theta.detach()).mode_at_random(generator)
        total = groups * samples
        values = mean.unsqueeze(-1).expand(-1, total)
        spread = gradient.unsqueeze(1).expand(-1, total, -1)
        return Estimate(orders.unsqueeze(1).expand(-1, total, -1), values, spread, None)
