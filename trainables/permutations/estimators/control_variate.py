"""REBAR, RELAX and their centred versions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from raybayes.errors import SpecError
from trainables.permutations.config import RelaxationName
from trainables.permutations.costs import Recorder, RelaxedValue
from trainables.permutations.distributions.models import Model
from trainables.permutations.distributions.noise import Source
from trainables.permutations.distributions.relaxations import RELAXATIONS, Relaxed
from trainables.permutations.estimators.baselines import RunningBaseline
from trainables.permutations.estimators.critic import Critic
from trainables.permutations.estimators.estimate import Estimate, per_entry


@dataclass(frozen=True)
class _Control:
    """c and dc/dz at z, with their parts."""

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
        relaxation: RelaxationName | None,
        tau: float,
        eta: float,
        critic: Critic | None,
        centring: RunningBaseline,
        like: Tensor,
        learn_tau: bool = True,
        learn_eta: bool = True,
    ) -> None:
        if relaxation is not None and not tau > 0:
            raise SpecError(f"found tau = {tau}; a temperature must be above 0 (the paper's initial value is 1).")
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
        gradient = per_entry(values - centre - c.value[:, values.shape[1] :], score) * score + inner

        def tune(direction: Tensor) -> list[Tensor]:
            """A gradient contains -c(z~) s, and the slopes at z and z~ through linear maps; here their transposes."""
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
                entries = per_entry(weight, gradient) * moves.warmer + moves.moved_warmer
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
