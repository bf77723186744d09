"""Laplace approximation of the last layer only, with its full Gauss-Newton matrix.

Sources: Daxberger et al., "Laplace Redux", NeurIPS 2021, arXiv 2106.14806; Kristiadi, Hein, Hennig 2020,
arXiv 2002.10118. With features phi (and a 1 for the bias) the precision of the head's weights is

    P = sum_n (diag(p_n) - p_n p_n') (x) phi_n phi_n' + delta I,

weights ordered class by class.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from raybayes.contract import State
from trainables.ensembles.data.pictures import Images
from trainables.ensembles.metrics.scores import log_likelihood
from trainables.ensembles.run.interface import Predictions
from trainables.ensembles.run.layers import head_of
from trainables.ensembles.run.run import Run, passes

DELTAS = [10 ** (-3 + i / 4) for i in range(25)]


def gauss_newton(features: Tensor, probabilities: Tensor) -> Tensor:
    """sum_n (diag(p_n) - p_n p_n') (x) phi_n phi_n', (classes·d, classes·d), weights ordered class by class.

    Args:
        features: (n, d), the last column 1 for the bias.
        probabilities: (n, classes).
    """
    classes, d = probabilities.shape[1], features.shape[1]
    matrix = torch.zeros(classes * d, classes * d, dtype=features.dtype, device=features.device)
    for c in range(classes):
        for e in range(c + 1):
            weight = probabilities[:, c] * (float(c == e) - probabilities[:, e])
            block = (features * weight[:, None]).T @ features
            matrix[c * d : (c + 1) * d, e * d : (e + 1) * d] = block
            matrix[e * d : (e + 1) * d, c * d : (c + 1) * d] = block.T
    return matrix


def probit(logits: Tensor, variance: Tensor) -> Tensor:
    """Log-probabilities of the softmax of z_c/sqrt(1 + pi/8·s_cc) (MacKay 1992; arXiv 2106.14806, equation 8).

    Args:
        logits: (n, classes) means.
        variance: (n, classes) variances of the logits.
    """
    return functional.log_softmax(logits / (1 + math.pi / 8 * variance).sqrt(), dim=1)


class LastLayerRun(Run):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.root: Tensor | None = None  # R with R R' = P^-1
        self.delta = 0.0

    def draw(self, k: int) -> Predictions:
        root = self.fit() if self.root is None else self.root
        if self.config.last_layer.predict == "probit":
            return {
                name: self.probit_log_probabilities(self.seen(split, f"draw-{k}/{name}"), root)
                for name, split in self.data.predicted.items()
            }
        z = torch.empty(len(root), device=self.ctx.device).normal_(generator=self.device_rng(f"sample-{k}"))
        offset = (root @ z.to(root.dtype)).float().reshape(self.data.classes, -1)
        model = self.twin()
        with torch.no_grad():
            head_of(model).weight.add_(offset[:, :-1])
            head_of(model).bias.add_(offset[:, -1])
        return self.predict(model, f"draw-{k}")

    def fit(self) -> Tensor:
        """The root of the covariance, after one pass over the augmented training images for the curvature.

        Validation chooses the prior precision unless it is given.
        """
        self.model.eval()
        batches = (self.features(images) for images, _ in self.batches(self.plan.epochs))
        parts = (gauss_newton(features, logits.softmax(1)) for features, logits in batches)
        matrix = functools.reduce(torch.add, parts)
        curvature = torch.linalg.eigh(matrix)
        self.delta = self.config.last_layer.delta or max(DELTAS, key=lambda delta: self.score(curvature, delta))
        self.root = covariance_root(curvature, self.delta)
        return self.root

    def score(self, curvature: tuple[Tensor, Tensor], delta: float) -> float:
        """Log-likelihood of the closed-form prediction on the validation images, without temperature scaling.

        Temperature scaling would undo the spread that delta sets, so that all deltas would score alike.
        """
        split = self.data.scored["val"]
        lp = self.probit_log_probabilities(split.images, covariance_root(curvature, delta)).numpy()
        return log_likelihood(lp, split.labels.cpu().numpy())

    def features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs of the head with a column of ones, (n, d), and the logits, (n, classes); float64."""
        kept: list[Tensor] = []
        hook = head_of(self.model).register_forward_pre_hook(lambda _, inputs: kept.append(inputs[0]))
        try:
            with torch.no_grad():
                logits = self.model(images)
        finally:
            hook.remove()
        phi = kept[0].double()
        return torch.cat([phi, torch.ones_like(phi[:, :1])], dim=1), logits.double()

    def probit_log_probabilities(self, images: Images, root: Tensor) -> Tensor:
        """Closed-form predictions of uint8 images, (n, classes) float32 on the CPU."""
        self.model.eval()
        blocks = root.reshape(self.data.classes, -1, len(root))  # classes × d × rows
        parts = []
        for batch in passes(images):
            phi, logits = self.features(self.data.normalise(batch))
            variance = torch.stack([(phi @ block).square().sum(1) for block in blocks], dim=1)
            parts.append(probit(logits, variance).float())
        return torch.cat(parts).cpu()

    def extra_state(self) -> State:
        return {"delta": self.delta, "root": self.root}

    def load_extra(self, state: State) -> None:
        self.delta = state["delta"]
        self.root = None if state["root"] is None else state["root"].to(self.ctx.device)


def covariance_root(curvature: tuple[Tensor, Tensor], delta: float) -> Tensor:
    """R with R R' = (H + delta I)^-1, from the eigenvalues and eigenvectors of H: one decomposition for every delta."""
    values, vectors = curvature
    return vectors * (values.clamp(min=0) + delta).rsqrt()
