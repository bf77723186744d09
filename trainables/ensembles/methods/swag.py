"""SWA-Gaussian: a Gaussian around the average of the weights along SGD with a constant rate; members are its samples.

Source: Maddox, Garipov, Izmailov, Vetrov, Wilson, "A Simple Baseline for Bayesian Uncertainty in Deep Learning",
NeurIPS 2019, arXiv 1902.02476, section 3; the average alone is SWA (Izmailov et al. 2018, arXiv 1803.05407).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from raybayes.contract import State
from trainables.ensembles.run.interface import Predictions
from trainables.ensembles.run.run import Run
from trainables.ensembles.run.schedules import step_decay

LEAST_VARIANCE = 1e-30


class Moments:
    """Running moments of weight vectors: mean, mean square, and the last `rank` deviations.

    Args:
        rank: number of kept deviations from the running mean (as it was after each update); 0 for none.
    """

    def __init__(self, rank: int) -> None:
        self.rank = rank
        self.count = 0
        self.mean = torch.zeros(0)
        self.square = torch.zeros(0)
        self.deviations: list[Tensor] = []

    def add(self, weights: Tensor) -> None:
        """Add one weight vector (d,)."""
        if self.count == 0:
            self.mean, self.square = torch.zeros_like(weights), torch.zeros_like(weights)
        self.count += 1
        self.mean = self.mean + (weights - self.mean) / self.count
        self.square = self.square + (weights.square() - self.square) / self.count
        if self.rank:
            self.deviations = [*self.deviations, weights - self.mean][-self.rank :]

    def sample(self, scale: float, generator: torch.Generator) -> Tensor:
        """One weight vector (d,): m + sqrt(scale)·(sqrt(max(s - m², 1e-30))·z1 + D z2/sqrt(R - 1)).

        All layers share one z2, which carries the covariance between them.
        """
        deviation = (self.square - self.mean.square()).clamp(min=LEAST_VARIANCE).sqrt()
        offset = deviation * torch.empty_like(self.mean).normal_(generator=generator)
        if self.deviations:
            z2 = torch.empty(len(self.deviations), device=self.mean.device).normal_(generator=generator)
            offset += sum(z * d for z, d in zip(z2, self.deviations, strict=True)) / math.sqrt(len(self.deviations) - 1)
        return self.mean + math.sqrt(scale) * offset


class SwagRun(Run):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        low_rank = self.config.method == "swag" and not self.config.swag.diag_only
        self.moments = Moments(self.config.swag.rank if low_rank else 0)

    def learning_rate(self, epoch: float) -> float:
        last = self.config.swag.lr
        if epoch >= self.first_stage:
            return last
        return self.config.lr * step_decay(int(epoch) / self.first_stage, last / self.config.lr)

    def after_update(self, epoch: int, batch: int, n_batches: int) -> None:
        times = self.config.swag.collect
        if epoch >= self.first_stage and (batch + 1) * times // n_batches > batch * times // n_batches:
            self.moments.add(parameters_to_vector(self.model.parameters()).detach())

    def draw(self, k: int) -> Predictions:
        weights = self.moments.mean
        if self.config.method == "swag":
            weights = self.moments.sample(self.config.swag.scale, self.device_rng(f"sample-{k}"))
        model = self.twin()
        vector_to_parameters(weights, model.parameters())
        self.renew_statistics(model, self.plan.epochs + k)
        return self.predict(model, f"draw-{k}")

    def renew_statistics(self, model: nn.Module, epoch: int) -> None:
        """Re-estimate all batch statistics for these weights, in one pass over the augmented training images."""
        norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
        if not norms:
            return
        model.eval()
        kept = [norm.momentum for norm in norms]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # cumulative average
            norm.train()
        with torch.no_grad():
            for images, _ in self.batches(epoch):
                model(images)
        for norm, momentum in zip(norms, kept, strict=True):
            norm.momentum = momentum

    def extra_state(self) -> State:
        names = ("count", "mean", "square", "deviations")
        return {name: getattr(self.moments, name) for name in names}

    def load_extra(self, state: State) -> None:
        device = self.ctx.device
        self.moments.count = state["count"]
        self.moments.mean, self.moments.square = state["mean"].to(device), state["square"].to(device)
        self.moments.deviations = [deviation.to(device) for deviation in state["deviations"]]
