"""Costs of orders from covariances: least squares with equal noise variances (F1), and jointly learnt weights (F2).

With free noise variances and no penalty on edges, the Gaussian likelihood is the same for every order (the sum of
log L_kk² is log det); F1 tells orders apart because it assumes equal variances.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from trainables.permutations.adam import Adam


class LeastSquares:
    """f(o) = 1/2 sum_k L_kk², L the Cholesky factor of the covariance in the order o: half the sum of the residual
    variances of each variable regressed on its predecessors.

    Args:
        covariance: (D, d, d), one a data set; orders may come in any multiple of D rows, equally many for each.
    """

    def __init__(self, covariance: Tensor) -> None:
        self.n = covariance.shape[-1]
        self.covariance = covariance

    def __call__(self, order: Tensor) -> Tensor:
        rows = torch.arange(order.shape[0], device=order.device)
        which = (rows * len(self.covariance)).div(len(rows), rounding_mode="floor")[:, None, None, None]
        permuted = self.covariance[which, order.unsqueeze(-1), order.unsqueeze(-2)]
        factor: Tensor = torch.linalg.cholesky(permuted)
        return 0.5 * factor.diagonal(dim1=-2, dim2=-1).square().sum(-1)


class Joint:
    """f(o, A) = 1/(2m) ‖X - X (M∘A)‖² + lambda ‖M∘A‖₁ with M = P^T U P, U strictly upper triangular: i -> j only if i
    comes first. A is learnt during training, by Adam at the sampled orders.

    Only masked weights are penalised: those that the order forbids change nothing else. In terms of the covariance S,
    the first part is 1/2 tr((I - W)^T S (I - W)).

    Args:
        covariance: (R, d, d).
        penalty: lambda.
        lr: Adam's step size for A.
    """

    def __init__(self, covariance: Tensor, penalty: float, lr: float) -> None:
        self.n = covariance.shape[-1]
        self.covariance, self._penalty, self._lr = covariance, penalty, lr
        self.weights = torch.zeros_like(covariance)
        self._adam = Adam([self.weights])
        self._upper = torch.ones(self.n, self.n, dtype=covariance.dtype, device=covariance.device).triu(1)

    def __call__(self, order: Tensor) -> Tensor:
        return self._value(self._mask(order))[0]

    def _mask(self, order: Tensor) -> Tensor:
        position = order.argsort(-1)
        return (position.unsqueeze(-1) < position.unsqueeze(-2)).to(self.weights.dtype)

    def _value(self, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Cost (R, S), W (R, S, d, d) and the gradient of the quadratic part for W."""
        matrix = mask * self.weights.unsqueeze(1)
        covariance = self.covariance.unsqueeze(1)
        slope = covariance @ matrix - covariance
        trace = covariance.diagonal(dim1=-2, dim2=-1).sum(-1)
        quadratic = 0.5 * (trace + (matrix * (slope - covariance)).sum((-1, -2)))
        return quadratic + self._penalty * matrix.abs().sum((-1, -2)), matrix, slope

    def relaxed(self, matrix: Tensor) -> tuple[Tensor, Tensor]:
        mask = matrix.transpose(-1, -2) @ self._upper @ matrix
        value, weighted, slope = self._value(mask)
        per_mask = (slope + self._penalty * weighted.sign()) * self.weights.unsqueeze(1)
        gradient = self._upper @ matrix @ per_mask.transpose(-1, -2) + self._upper.T @ matrix @ per_mask
        return value, gradient

    def bend(self, matrix: Tensor, direction: Tensor) -> Tensor:
        upper, weights = self._upper, self.weights.unsqueeze(1)
        mask, turned = (matrix.transpose(-1, -2) @ upper @ other for other in (matrix, direction))
        moved = turned + direction.transpose(-1, -2) @ upper @ matrix
        _, weighted, slope = self._value(mask)
        per_mask = (slope + self._penalty * weighted.sign()) * weights
        bent = (self.covariance.unsqueeze(1) @ (moved * weights)) * weights
        first = direction @ per_mask.transpose(-1, -2) + matrix @ bent.transpose(-1, -2)
        return upper @ first + upper.T @ (direction @ per_mask + matrix @ bent)

    def learn(self, order: Tensor) -> None:
        """One step on A at the sampled orders (R, S, d)."""
        mask = self._mask(order)
        _, matrix, slope = self._value(mask)
        gradient = (mask * (slope + self._penalty * matrix.sign())).mean(1)
        self._adam.step([gradient], self._lr)

    def state(self) -> dict[str, Any]:
        return {"weights": self.weights.clone(), "adam": self._adam.state()}

    def load(self, state: dict[str, Any]) -> None:
        """The inverse of `state`."""
        self.weights.copy_(state["weights"])
        self._adam.load(state["adam"])
