"""Cyclical stochastic gradient MCMC: cosine cycles with Langevin noise in the last epochs; several members per cycle.

Source: Zhang, Li, Zhang, Chen, Wilson, "Cyclical Stochastic Gradient MCMC for Bayesian Deep Learning", ICLR 2020,
arXiv 1902.03932. The target is exp(-N·(loss + wd/2·|w|²)/temperature), so that temperature 1 is the Bayes posterior of
the prior N(0, 1/(N·wd)).
"""

from __future__ import annotations

import math

import torch

from trainables.ensembles.run.run import Run
from trainables.ensembles.run.schedules import cosine_restarts


class CyclicalSGLDRun(Run):
    def learning_rate(self, epoch: float) -> float:
        return cosine_restarts(epoch, self.config.csgld.cycle_epochs, self.config.csgld.max_lr)

    def momentum(self) -> float:
        return self.config.csgld.momentum

    def before_epoch(self, epoch: int) -> None:
        self.noise = self.device_rng(f"langevin-{epoch}")

    def before_update(self, epoch: int, rate: float) -> None:
        group = self.config.csgld
        if epoch % group.cycle_epochs >= group.cycle_epochs - group.noise_epochs:
            temperature = group.temperature / len(self.data.train)
            add_noise(list(self.model.parameters()), rate, group.momentum, temperature, self.noise)


def add_noise(
    parameters: list[torch.nn.Parameter], rate: float, momentum: float, temperature: float, generator: torch.Generator
) -> None:
    """Add Langevin noise to the gradients, so that SGD with this rate and momentum samples exp(-U/temperature).

    The step becomes w - rate·grad U + sqrt(2·rate·(1 - momentum)·temperature)·xi; with momentum the noise enters the
    velocity, as in SGHMC (Chen, Fox, Guestrin 2014, arXiv 1402.4102, equation 15).

    Args:
        parameters: their `grad` is the gradient of U, the mean loss.
        temperature: the posterior's temperature over the number of training objects.
    """
    deviation = math.sqrt(2 * (1 - momentum) * temperature / rate)
    for parameter in parameters:
        if parameter.grad is not None:
            noise = torch.empty_like(parameter.grad).normal_(generator=generator)
            parameter.grad.add_(noise, alpha=deviation)
