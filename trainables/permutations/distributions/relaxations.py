"""Continuous relaxations of orderings, with their derivatives in closed form.

A relaxation sigma_tau maps z (..., n) to a row-stochastic matrix P (..., n, n) that tends to the permutation matrix of
argsort(z, descending) as tau -> 0: row k is the (soft) one-hot of the item in place k, so P @ x is x in order.

A control variate needs df(P(z))/dz, and, to be trained, that gradient's own derivative for the temperature. `pull` and
`along` give both without automatic differentiation.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from raybayes.contract import require_entries
from trainables.permutations.config import RelaxationName


@dataclass(frozen=True)
class Relaxed:
    """A soft permutation matrix, softmax(scores) by rows, with derivatives.

    The scores are piecewise linear in z / tau, so that their derivative for z is one linear map, and the one for
    log tau is minus the scores themselves.

    Args:
        matrix: (..., n, n), rows sum to 1.
        scores: (..., n, n), before the softmax.
        push: the derivative of the scores along a direction of z, (..., n) -> (..., n, n).
        pull_scores: its transpose, (..., n, n) -> (..., n).
    """

    matrix: Tensor
    scores: Tensor
    push: Callable[[Tensor], Tensor]
    pull_scores: Callable[[Tensor], Tensor]

    def pull(self, gradient: Tensor) -> Tensor:
        """From df/dmatrix (..., n, n) to df/dz (..., n)."""
        return self.pull_scores(_through_softmax(self.matrix, gradient))

    def along(self, direction: Tensor) -> Along:
        """How the matrix moves along a direction (..., n) of z, and along log tau."""
        pushed = self.push(direction)
        centred = pushed - (self.matrix * pushed).sum(-1, keepdim=True)
        moved = self.matrix * centred
        warmer = -_through_softmax(self.matrix, self.scores)
        bent = warmer * centred
        return Along(moved, warmer, bent - moved - self.matrix * bent.sum(-1, keepdim=True))


@dataclass(frozen=True)
class Along:
    """Derivatives of a soft permutation matrix P, each (..., n, n).

    Args:
        moved: dP along the direction of z.
        warmer: dP / dlog tau.
        moved_warmer: d(moved) / dlog tau.
    """

    moved: Tensor
    warmer: Tensor
    moved_warmer: Tensor


def neuralsort(z: Tensor, tau: Tensor) -> Relaxed:
    """NeuralSort: row i (from 1) is softmax_j(((n + 1 - 2i) z_j - sum_k |z_j - z_k|) / tau).

    Args:
        z: (..., n).
        tau: temperature, broadcasts against (..., 1, 1).

    References:
        Grover, Wang, Zweig, Ermon, Stochastic optimization of sorting networks via continuous relaxations, ICLR 2019,
        arXiv 1903.08850, theorem 4.
    """
    gaps = z.unsqueeze(-1) - z.unsqueeze(-2)
    scaling = _scaling(z.shape[-1], z.dtype, z.device)  # (2, n): n + 1 - 2i, and -1
    spread = gaps.abs().sum(-1)
    scores = (scaling.T @ torch.stack([z, spread], -2)) / tau
    signs = gaps.sign()  # (m, k): sign(z_m - z_k)
    # d|z_j - z_k| moves column j and column k: sum_k sign(z_m - z_k) (h_m + h_k), as one matrix on the columns of h
    moves = torch.diag_embed(signs.sum(-1)) - signs

    def push(direction: Tensor) -> Tensor:
        spread = (moves @ direction.unsqueeze(-1)).squeeze(-1)
        return (scaling.T @ torch.stack([direction, spread], -2)) / tau

    def pull_scores(gradient: Tensor) -> Tensor:
        scaled, columns = (scaling @ (gradient / tau)).split(1, -2)
        pulled: Tensor = scaled + columns @ moves
        return pulled.squeeze(-2)

    return Relaxed(scores.softmax(-1), scores, push, pull_scores)


def softsort(z: Tensor, tau: Tensor) -> Relaxed:
    """SoftSort: P_ij = softmax_j(-|sort(z, descending)_i - z_j| / tau).

    References:
        Prillo, Eisenschlos, SoftSort: a continuous relaxation for the argsort operator, ICML 2020, arXiv 2006.16038.
    """
    values, order = z.sort(-1, descending=True)
    gaps = values.unsqueeze(-1) - z.unsqueeze(-2)
    scores = -gaps.abs() / tau
    signs = gaps.sign() / tau

    def push(direction: Tensor) -> Tensor:
        return signs * (direction.unsqueeze(-2) - direction.gather(-1, order).unsqueeze(-1))

    def pull_scores(gradient: Tensor) -> Tensor:
        h = gradient * signs
        return h.sum(-2) - torch.zeros_like(z).scatter(-1, order, h.sum(-1))

    return Relaxed(scores.softmax(-1), scores, push, pull_scores)


RELAXATIONS: dict[RelaxationName, Callable[[Tensor, Tensor], Relaxed]] = {
    "neuralsort": neuralsort,
    "softsort": softsort,
}
require_entries(RelaxationName, RELAXATIONS, "trainables/permutations/distributions/relaxations.py: RELAXATIONS")


@functools.lru_cache(maxsize=16)
def _scaling(n: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    rows = torch.arange(n - 1, -n, -2, dtype=dtype, device=device)
    return torch.stack([rows, -torch.ones_like(rows)])


def _through_softmax(matrix: Tensor, tensor: Tensor) -> Tensor:
    """The softmax's derivative, which is its own transpose."""
    return matrix * (tensor - (tensor * matrix).sum(-1, keepdim=True))


def permutation_matrix(order: Tensor, dtype: torch.dtype) -> Tensor:
    """(..., n) orderings as (..., n, n) matrices with P @ x = x[order]."""
    return torch.nn.functional.one_hot(order, order.shape[-1]).to(dtype)


def sinkhorn(scores: Tensor, iterations: int) -> Tensor:
    """The logarithm of a nearly doubly stochastic matrix: rows, then columns normalised, `iterations` times.

    Args:
        scores: (..., n, n), already divided by the temperature.

    References:
        Mena, Belanger, Linderman, Snoek, Learning latent permutations with Gumbel-Sinkhorn networks, ICLR 2018,
        arXiv 1802.08665.
    """
    for _ in range(iterations):
        scores = scores - scores.logsumexp(-1, keepdim=True)
        scores = scores - scores.logsumexp(-2, keepdim=True)
    return scores
