"""Laplace approximation layer by layer: a Gaussian around the trained weights from the curvature of the loss.

Sources: Ritter, Botev, Barber, "A Scalable Laplace Approximation for Neural Networks", ICLR 2018; Martens, Grosse 2015,
arXiv 1503.05671; Grosse, Martens 2016, arXiv 1602.01407 (convolutions). With a layer's inputs a (and a 1 for the bias)
and the gradients g of its outputs, with labels drawn from the network's own prediction (Fisher information =
Gauss-Newton matrix of the cross-entropy), A = E[a a'], G = E[g g'], and the weights are

    N(W*, [(sqrt(N) A + pi sqrt(p) I) (x) (sqrt(N) G + sqrt(p)/pi I)]^-1),  p = prior precision.

In a convolution A is summed and G is averaged over positions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from raybayes.contract import State
from trainables.ensembles.config import LaplaceStructure
from trainables.ensembles.metrics.average import RunningAverage
from trainables.ensembles.metrics.protocol import cross_validated
from trainables.ensembles.metrics.scores import log_likelihood
from trainables.ensembles.registry import require_same_names
from trainables.ensembles.run.interface import Predictions
from trainables.ensembles.run.layers import numeric_padding, weight_layers
from trainables.ensembles.run.run import Run

SCALES = [10 ** (-2 + 3 * i / 24) for i in range(25)]  # the paper's grid
SCALE_SAMPLES = 4  # networks behind the score of one scale


@dataclass
class Curvature:
    """The curvature of one layer, mean per object.

    Args:
        inputs: A, (in + 1, in + 1), or (in, in) without bias.
        outputs: G, (out, out).
        diagonal: E[gradient²] of the weight matrix with its bias column, (out, in + 1).
    """

    inputs: Tensor
    outputs: Tensor
    diagonal: Tensor


@dataclass
class KroneckerPosterior:
    """Deviations `left` Z `right`' of one layer's weight matrix (out, in + 1) with its bias column.

    Args:
        left: (out, out), left left' = G'^-1.
        right: (in + 1, in + 1), right right' = A'^-1.
    """

    left: Tensor
    right: Tensor

    def sample(self, generator: torch.Generator) -> Tensor:
        z = torch.empty(len(self.left), len(self.right), device=self.left.device).normal_(generator=generator)
        return self.left @ z @ self.right.T


@dataclass
class DiagonalPosterior:
    """Independent deviations of one layer's weights, (out, in + 1)."""

    deviation: Tensor

    def sample(self, generator: torch.Generator) -> Tensor:
        return self.deviation * torch.empty_like(self.deviation).normal_(generator=generator)


Posterior = KroneckerPosterior | DiagonalPosterior


def kronecker(curvature: Curvature, n: int, prior: float) -> KroneckerPosterior:
    """The posterior of n objects and a prior precision, with damped Kronecker factors."""
    a, g = curvature.inputs.double(), curvature.outputs.double()
    ratio = math.sqrt(max(float(a.trace()) / len(a), 1e-30) / max(float(g.trace()) / len(g), 1e-30))
    eye_a, eye_g = torch.eye(len(a), dtype=a.dtype, device=a.device), torch.eye(len(g), dtype=g.dtype, device=g.device)
    damped_a = math.sqrt(n) * a + ratio * math.sqrt(prior) * eye_a
    damped_g = math.sqrt(n) * g + math.sqrt(prior) / ratio * eye_g
    return KroneckerPosterior(left=inverse_root(damped_g).float(), right=inverse_root(damped_a).float())


def diagonal(curvature: Curvature, n: int, prior: float) -> DiagonalPosterior:
    """The posterior with independent weights: precision n·E[gradient²] + prior."""
    return DiagonalPosterior((n * curvature.diagonal + prior).rsqrt())


def inverse_root(matrix: Tensor) -> Tensor:
    """Lower-triangular R with R R' = matrix^-1, for a symmetric positive definite matrix."""
    root: Tensor = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(matrix)))
    return root


@dataclass(frozen=True)
class Structure:
    """A structure of the curvature: its posterior, computed from (curvature, n objects, prior precision)."""

    kind: type[KroneckerPosterior] | type[DiagonalPosterior]
    fit: Callable[[Curvature, int, float], Posterior]


STRUCTURES = {"kron": Structure(KroneckerPosterior, kronecker), "diag": Structure(DiagonalPosterior, diagonal)}
require_same_names("laplace.structure", LaplaceStructure, STRUCTURES)


@dataclass
class CurvatureSums:
    """Hooks that sum the curvature of one layer while batches pass through the network."""

    layer: nn.Conv2d | nn.Linear
    diagonal_wanted: bool
    objects: int = 0
    sums: list[Tensor] = field(default_factory=list)

    def forward_hook(self, module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        """Take the inputs now, and the gradients of the outputs in the backward pass."""
        a = self.patches(inputs[0].detach())
        output.register_hook(lambda gradient: self.add(a, gradient))

    def add(self, a: Tensor, g: Tensor) -> None:
        """Add a batch: inputs (n, positions, in + 1), gradients of the outputs (n, out[, height, width])."""
        g = g[:, :, None] if g.dim() == 2 else g.flatten(2)  # (n, out, positions)
        flat_a, flat_g = a.flatten(0, 1), g.transpose(1, 2).flatten(0, 1)
        new = [flat_a.T @ flat_a, flat_g.T @ flat_g / g.shape[2]]
        new.append(torch.bmm(g, a).square().sum(0) if self.diagonal_wanted else torch.zeros((), device=g.device))
        self.sums = new if not self.sums else [old + term for old, term in zip(self.sums, new, strict=True)]
        self.objects += len(g)

    def patches(self, x: Tensor) -> Tensor:
        """Inputs of the layer as rows of a matrix product, (n, positions, in (+ 1 with bias))."""
        layer = self.layer
        if isinstance(layer, nn.Conv2d):
            a = functional.unfold(x, layer.kernel_size, layer.dilation, numeric_padding(layer), layer.stride).transpose(
                1, 2
            )
        else:
            a = x[:, None, :]
        return a if layer.bias is None else torch.cat([a, torch.ones_like(a[..., :1])], dim=2)

    def curvature(self) -> Curvature:
        inputs, outputs, diagonal_sum = (total / self.objects for total in self.sums)
        return Curvature(inputs, outputs, diagonal_sum)


class LaplaceRun(Run):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.posteriors: dict[str, Posterior] = {}
        self.scale = 0.0

    def sampled_layers(self, model: nn.Module) -> dict[str, nn.Conv2d | nn.Linear]:
        layers = weight_layers(model)
        return layers if self.config.laplace.subset == "all" else {"head": layers["head"]}

    def draw(self, k: int) -> Predictions:
        if not self.posteriors:
            self.fit()
            self.scale = self.config.laplace.scale or self.best_scale()
        return self.predict(self.sampled(f"sample-{k}", self.scale), f"draw-{k}")

    def fit(self) -> None:
        """One pass over the augmented training images for the curvature, then the posterior of every layer."""
        group, n = self.config.laplace, len(self.data.train)
        sums = self.curvature_sums(group.structure == "diag")
        prior = group.prior * n * self.config.wd
        fit = STRUCTURES[group.structure].fit
        self.posteriors = {name: fit(total.curvature(), n, prior) for name, total in sums.items()}

    def curvature_sums(self, diagonal_wanted: bool) -> dict[str, CurvatureSums]:
        self.model.eval()
        layers = self.sampled_layers(self.model)
        sums = {name: CurvatureSums(layer, diagonal_wanted) for name, layer in layers.items()}
        hooks = [layer.register_forward_hook(sums[name].forward_hook) for name, layer in layers.items()]
        noise = self.device_rng("fisher")
        try:
            for images, _ in self.batches(self.plan.epochs):
                logits = self.model(images)
                drawn = torch.multinomial(logits.detach().softmax(1), 1, generator=noise).squeeze(1)
                self.model.zero_grad()
                functional.cross_entropy(logits, drawn, reduction="sum").backward()
        finally:
            for hook in hooks:
                hook.remove()
        self.model.zero_grad()
        return sums

    def sampled(self, label: str, scale: float) -> nn.Module:
        """A network with one sample of the weights; `label` names the noise, so that scales share theirs."""
        model, generator = self.twin(), self.device_rng(label)
        with torch.no_grad():
            for name, layer in self.sampled_layers(model).items():
                offset = scale * self.posteriors[name].sample(generator)
                if layer.bias is not None:
                    layer.bias += offset[:, -1]
                    offset = offset[:, :-1]
                layer.weight += offset.reshape(layer.weight.shape)
        return model

    def best_scale(self) -> float:
        """The scale of the grid whose small ensemble has the best validation CLL."""
        split = self.data.scored["val"]
        targets = split.labels.cpu().numpy()

        def score(scale: float) -> float:
            average = RunningAverage()
            for k in range(SCALE_SAMPLES):
                average.add(self.log_probabilities(self.sampled(f"scale-{k}", scale), split.images).numpy())
            lp, seed = average.log_probabilities(), self.config.split_seed
            return cross_validated(lp, targets, {"ll": log_likelihood}, seed=seed).calibrated["ll"]

        return max(SCALES, key=score)

    def extra_state(self) -> State:
        return {"scale": self.scale, "posteriors": {name: dict(vars(p)) for name, p in self.posteriors.items()}}

    def load_extra(self, state: State) -> None:
        device = self.ctx.device
        self.scale = state["scale"]
        kind = STRUCTURES[self.config.laplace.structure].kind
        self.posteriors = {
            name: kind(**{key: value.to(device) for key, value in kept.items()})
            for name, kept in state["posteriors"].items()
        }
