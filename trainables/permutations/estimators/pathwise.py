"""Estimators that differentiate a relaxed cost: relaxation, straight through, Gumbel-Sinkhorn. Biased for E f."""

from __future__ import annotations

import torch
from torch import Tensor

from raybayes.errors import SpecError
from trainables.permutations.config import RelaxationName
from trainables.permutations.costs import Recorder
from trainables.permutations.distributions.models import Model, SinkhornModel
from trainables.permutations.distributions.noise import Source
from trainables.permutations.distributions.relaxations import RELAXATIONS, permutation_matrix
from trainables.permutations.estimators.estimate import Estimate, Stateless


class Relaxation(Stateless):
    """The gradient of the relaxed cost by reparameterisation; `hard` evaluates df/dP at the permutation itself
    (straight through). Biased for E f, because the relaxed problem is another problem.

    Raises:
        SpecError: tau <= 0.
    """

    def __init__(self, model: Model, relaxation: RelaxationName, tau: float, hard: bool) -> None:
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


class Sinkhorn(Stateless):
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
