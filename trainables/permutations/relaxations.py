"""Continuous relaxations of orderings, with their gradients in closed form.

A relaxation sigma_tau maps z (..., n) to a row-stochastic matrix P (..., n, n) that tends to the permutation matrix of
argsort(z, descending) as tau -> 0: row k is the (soft) one-hot of the item in place k, so P @ x is x in order.

Control variates need d f(P(z)) / dz as an expression that can itself be differentiated for tau. `pull` gives it from
G = df/dP without a second pass of automatic differentiation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Relaxed:
    """A soft permutation matrix and its pull-back.

    Args:
        matrix: (..., n, n), rows sum to 1.
        pull: maps df/dmatrix (..., n, n) to df/dz (..., n); differentiable in the temperature and in its argument.
    """

    matrix: Tensor
    pull: Callable[[Tensor], Tensor]


def neuralsort(z: Tensor, tau: Tensor) -> Relaxed:
    """NeuralSort: row i (from 1) is softmax_j(((n + 1 - 2i) z_j - sum_k |z_j - z_k|) / tau).

    Args:
        z: (..., n).
        tau: temperature, broadcasts against (..., 1, 1).

    References:
        Grover, Wang, Zweig, Ermon, Stochastic optimization of sorting networks via continuous relaxations, ICLR 2019,
        arXiv 1903.08850, theorem 4.
    """
    n = z.shape[-1]
    gaps = z.unsqueeze(-1) - z.unsqueeze(-2)
    scaling = torch.arange(n - 1, -n, -2, dtype=z.dtype, device=z.device)
    spread = gaps.abs().sum(-1)
    matrix = ((scaling.unsqueeze(-1) * z.unsqueeze(-2) - spread.unsqueeze(-2)) / tau).softmax(-1)
    signs = gaps.sign()  # (m, k): sign(z_m - z_k)
    # d|z_j - z_k| moves column j and column k: sum_k sign(z_m - z_k) (h_m + h_k), as one matrix on the columns of h
    moves = torch.diag_embed(signs.sum(-1)) - signs
    rows = torch.stack([scaling, torch.ones_like(scaling)])

    def pull(gradient: Tensor) -> Tensor:
        scaled, columns = (rows @ (_softmax_backward(matrix, gradient) / tau)).split(1, -2)
        return (scaled - columns @ moves).squeeze(-2)

    return Relaxed(matrix, pull)


def softsort(z: Tensor, tau: Tensor) -> Relaxed:
    """SoftSort: P_ij = softmax_j(-|sort(z, descending)_i - z_j| / tau).

    References:
        Prillo, Eisenschlos, SoftSort: a continuous relaxation for the argsort operator, ICML 2020, arXiv 2006.16038.
    """
    values, order = z.sort(-1, descending=True)
    gaps = values.unsqueeze(-1) - z.unsqueeze(-2)
    matrix = (-gaps.abs() / tau).softmax(-1)
    signs = gaps.sign()

    def pull(gradient: Tensor) -> Tensor:
        h = _softmax_backward(matrix, gradient) / tau * signs
        return h.sum(-2) - torch.zeros_like(z).scatter(-1, order, h.sum(-1))

    return Relaxed(matrix, pull)


RELAXATIONS: dict[str, Callable[[Tensor, Tensor], Relaxed]] = {"neuralsort": neuralsort, "softsort": softsort}


def _softmax_backward(matrix: Tensor, gradient: Tensor) -> Tensor:
    return matrix * (gradient - (gradient * matrix).sum(-1, keepdim=True))


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
