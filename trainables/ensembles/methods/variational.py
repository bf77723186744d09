"""Fully factorised Gaussian variational inference over the weights of every convolution and linear layer.

Sources: Kingma, Salimans, Welling 2015, arXiv 1506.02557 (local reparametrisation); Blundell et al. 2015,
arXiv 1505.05424. Prior N(0, v) with v = 1/(N·wd); biases and batch normalisation are deterministic. The loss is

    mean cross-entropy + beta/(2N) · sum(sigma²/v - 1 - log(sigma²/v)),

and the remaining KL term, mu²/(2vN), is the optimiser's weight decay on the means. A member is one network: one sample
of all weights.
"""

from __future__ import annotations

from typing import Any, Literal, assert_never

import torch
from torch import Tensor, nn
from torch.nn import functional

from raybayes.contract import State
from trainables.ensembles.architectures.dropout import set_noise
from trainables.ensembles.run.interface import Predictions
from trainables.ensembles.run.layers import numeric_padding, pair, replace_layers
from trainables.ensembles.run.run import Run, copied
from trainables.ensembles.run.schedules import variational

Sampling = Literal["off", "noise", "weights"]


class Gaussian(nn.Module):
    """A convolution or linear layer with Gaussian weights: `layer.weight` is the mean.

    `sampling` is "off" (a plain layer with the mean), "noise" (training: a convolution draws one weight sample per
    batch, a linear layer its outputs, y = x mu' + b + sqrt(x² sigma²' + 1e-8)·eps), or "weights" (the fixed `sample`).
    """

    def __init__(self, layer: nn.Conv2d | nn.Linear, log_sigma: float) -> None:
        super().__init__()
        self.layer = layer
        self.start = log_sigma
        self.log_sigma = nn.Parameter(torch.empty_like(layer.weight))
        self.sampling: Sampling = "off"
        self.sample: Tensor | None = None
        self.generator: torch.Generator | None = None

    def initialise(self, generator: torch.Generator) -> None:
        """log sigma uniformly in [start - 0.1, start]."""
        self.log_sigma.uniform_(self.start - 0.1, self.start, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        """The layer's outputs in the mode that `sampling` names."""
        out: Tensor
        match self.sampling:
            case "off":
                out = self.layer(x)
            case "weights":
                if self.sample is None:
                    raise RuntimeError('sampling = "weights" needs a sample; set `sample` to `draw()` first')
                out = self.with_weight(x, self.sample)
            case "noise" if isinstance(self.layer, nn.Conv2d):
                out = self.with_weight(x, self.draw())
            case "noise":
                deviation = (functional.linear(x.square(), (2 * self.log_sigma).exp()) + 1e-8).sqrt()
                out = self.layer(x) + deviation * self.noise(deviation)
            case _:
                assert_never(self.sampling)
        return out

    def with_weight(self, x: Tensor, weight: Tensor) -> Tensor:
        """The layer's outputs with these weights instead of its own."""
        layer = self.layer
        if isinstance(layer, nn.Conv2d):
            return functional.conv2d(
                x, weight, layer.bias, pair(layer.stride), numeric_padding(layer), pair(layer.dilation), layer.groups
            )
        return functional.linear(x, weight, layer.bias)

    def draw(self) -> Tensor:
        """One sample of the weights."""
        return self.layer.weight + self.log_sigma.exp() * self.noise(self.log_sigma)

    def noise(self, like: Tensor) -> Tensor:
        """Standard normal numbers in the shape of `like`."""
        return torch.empty_like(like).normal_(generator=self.generator)

    def divergence(self, variance: float) -> Tensor:
        """sum(sigma²/v - 1 - log(sigma²/v)): twice the KL divergence to N(0, v), without the means' part."""
        ratio = (2 * self.log_sigma).exp() / variance
        return (ratio - 1 - ratio.log()).sum()


class VariationalRun(Run):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.sigma_optimizer = self.fresh_sigma_optimizer()
        self.epoch = 0

    def convert(self, model: nn.Module) -> None:
        start = self.config.vi.log_sigma
        replace_layers(model, lambda _, m: Gaussian(m, start) if isinstance(m, nn.Conv2d | nn.Linear) else None)

    def gaussians(self) -> list[Gaussian]:
        return [module for module in self.model.modules() if isinstance(module, Gaussian)]

    def trained_parameters(self) -> list[Any]:
        sigmas = {id(layer.log_sigma) for layer in self.gaussians()}
        return [parameter for parameter in self.model.parameters() if id(parameter) not in sigmas]

    def fresh_sigma_optimizer(self) -> torch.optim.Optimizer:
        return torch.optim.Adam([layer.log_sigma for layer in self.gaussians()], lr=self.config.vi.lr_sigma)

    def learning_rate(self, epoch: float) -> float:
        if epoch < self.first_stage:
            return super().learning_rate(epoch)
        return variational(int(epoch) - self.first_stage, self.config.vi.epochs, self.config.vi.lr_mean)

    def before_epoch(self, epoch: int) -> None:
        self.epoch = epoch
        if epoch == self.first_stage > 0:
            self.optimizer = self.fresh_optimizer()
        self.set_sampling("noise" if epoch >= self.first_stage else "off")

    def set_sampling(self, sampling: Sampling) -> None:
        for layer in self.gaussians():
            layer.sampling = sampling

    def loss(self, images: Tensor, labels: Tensor) -> Tensor:
        fit = super().loss(images, labels)
        if self.epoch < self.first_stage:
            return fit
        n, group = len(self.data.train), self.config.vi
        done = self.epoch - self.first_stage
        beta = group.beta * min(1.0, (done + 1) / group.warmup_epochs if group.warmup_epochs else 1.0)
        variance = 1 / (n * self.config.wd)
        return fit + beta / (2 * n) * torch.stack([layer.divergence(variance) for layer in self.gaussians()]).sum()

    def after_update(self, epoch: int, batch: int, n_batches: int) -> None:
        if epoch >= self.first_stage:
            self.sigma_optimizer.step()

    def draw(self, k: int) -> Predictions:
        set_noise(self.model, self.device_rng(f"sample-{k}"))
        for layer in self.gaussians():
            layer.sample = layer.draw().detach()
        self.set_sampling("weights")
        return self.predict(self.model, f"draw-{k}")

    def current(self, split: str) -> Tensor:
        self.set_sampling("off")  # the mean network
        return super().current(split)

    def extra_state(self) -> State:
        return {"sigma_optimizer": copied(self.sigma_optimizer.state_dict())}

    def load_extra(self, state: State) -> None:
        self.sigma_optimizer.load_state_dict(state["sigma_optimizer"])
