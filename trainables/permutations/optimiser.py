"""One update of a distribution over orderings (samples, gradient estimate, Adam) and of its control variate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from trainables.permutations.adam import Adam
from trainables.permutations.collapse import Collapse
from trainables.permutations.costs import Recorder
from trainables.permutations.distributions.noise import Source
from trainables.permutations.estimators import Estimate, Estimator
from trainables.permutations.tasks.problem import Policy

Reduce = Callable[[Tensor], Tensor]


def alone(tensor: Tensor) -> Tensor:
    """The mean over workers, for a single worker."""
    return tensor


class OrderOptimiser:
    """Adam on theta, another Adam on the control variate.

    Args:
        policy: theta.
        estimator: gives the gradient.
        f: the cost, counted.
        samples: N of each update.
        lr, critic_lr: step sizes; one number, or one for each row, (rows,).
        critic_updates: variance steps per update; all but one draw their own samples.
        mask: (rows, n), False where theta must not move; None: everywhere it may.
        reduce: the mean over workers.
        collapse: restarts rows whose samples are no new orders; None: none is restarted.
    """

    def __init__(
        self,
        policy: Policy,
        estimator: Estimator,
        f: Recorder,
        samples: int,
        lr: float | Tensor,
        critic_lr: float | Tensor = 0.01,
        critic_updates: int = 1,
        weight_decay: float = 0.0,
        mask: Tensor | None = None,
        reduce: Reduce = alone,
        collapse: Collapse | None = None,
    ) -> None:
        self.policy, self.estimator, self.f = policy, estimator, f
        self._samples, self._lr, self._critic_updates = samples, lr, critic_updates
        self._mask, self._reduce = mask, reduce
        self.collapse = collapse
        self._adam = Adam(policy.parameters(), weight_decay, ages=collapse is not None)
        self._critic_flat = _in_one_piece(estimator.parameters())
        self._critic_adam = None if self._critic_flat is None else Adam([self._critic_flat])
        self._critic_lr = critic_lr

    def update(self, generator: Source, lr_factor: float = 1.0) -> Estimate:
        """One step on theta and `critic_updates` steps on the control variate."""
        for _ in range(self._critic_updates - 1 if self._critic_adam else 0):
            self.train_critic(generator)
        theta = self.policy.theta()
        with torch.no_grad():
            estimate = self.estimator.estimate(theta.detach(), self.f, self._samples, generator)
            gradient = self._reduce(self._masked(estimate.gradient.mean(1)))
            self._learn_critic(estimate)
        self._adam.step(self.policy.backward(theta, gradient), self._lr * lr_factor)
        self._observe(estimate)
        if self.collapse is not None:
            restarted = self.collapse.observe(self._reduce(self.f.repeats), self.f.best)
            if restarted is not None:
                self._adam.forget(restarted)
        return estimate

    @torch.no_grad()
    def train_critic(self, generator: Source) -> None:
        """One step on the control variate only, on its own samples."""
        estimate = self.estimator.estimate(self.policy.theta(), self.f, self._samples, generator)
        self._learn_critic(estimate)
        self._observe(estimate)

    def _observe(self, estimate: Estimate) -> None:
        if estimate.statistics is not None:
            self.estimator.observe(self._reduce(estimate.statistics))

    def _masked(self, gradient: Tensor) -> Tensor:
        return gradient if self._mask is None else gradient * self._mask

    def _learn_critic(self, estimate: Estimate) -> None:
        """A step down the mean over samples of ‖gradient‖²; rows are independent, each is trained by its own."""
        if self._critic_adam is None or estimate.tune is None:
            return
        rows, samples = estimate.gradient.shape[:2]
        gradient = estimate.gradient if self._mask is None else estimate.gradient * self._mask.unsqueeze(1)
        found = estimate.tune(gradient * (2 / samples))
        flat = torch.cat([part.reshape(rows, -1) for part in found], 1)
        self._critic_adam.step([self._reduce(flat)], self._critic_lr)

    def state(self) -> dict[str, Any]:
        """All that the next update depends on, except for the generator."""
        return {
            "policy": [parameter.detach().clone() for parameter in self.policy.parameters()],
            "estimator": self.estimator.state(),
            "adam": self._adam.state(),
            "critic_adam": None if self._critic_adam is None else self._critic_adam.state(),
            "f": self.f.state(),
            "collapse": None if self.collapse is None else self.collapse.state(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """The inverse of `state`."""
        with torch.no_grad():
            for mine, saved in zip(self.policy.parameters(), state["policy"], strict=True):
                mine.copy_(saved)
        self.estimator.load(state["estimator"])
        self._adam.load(state["adam"])
        if self._critic_adam is not None:
            self._critic_adam.load(state["critic_adam"])
        self.f.load(state["f"])
        if self.collapse is not None:
            self.collapse.load(state["collapse"])


@torch.no_grad()
def _in_one_piece(parameters: list[Tensor]) -> Tensor | None:
    """Make the parameters, each with rows as its first dimension, views of one tensor (rows, all).

    A step is then a few operations on one tensor instead of on each; this overhead dominates small trials.
    """
    if not parameters:
        return None
    rows = parameters[0].shape[0]
    flat = torch.cat([parameter.reshape(rows, -1) for parameter in parameters], 1)
    for parameter, part in zip(parameters, flat.split([p[0].numel() for p in parameters], 1), strict=True):
        parameter.data = part.view(parameter.shape)
    return flat
