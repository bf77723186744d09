"""The paper's toy: the squared distance of a permutation matrix from a nearly uniform one."""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.permutations.tasks.problem import Problem


class ToyCost:
    """f(b) = ‖P_b - T‖² (Frobenius), T_ii = 1/n + eps, T_ij = 1/n - eps/(n - 1).

    f falls by 2 (T_ii - T_ij) for each item in its own place, so the identity is the optimum; the relaxed cost is
    lowest at T, which is no permutation.

    References:
        Gadetsky et al. 2020, arXiv 1911.10036, section 5.1.
    """

    def __init__(self, n: int, eps: float, like: Tensor) -> None:
        self.n = n
        off = 1 / n - eps / (n - 1)
        self.target = torch.full((n, n), off, dtype=like.dtype, device=like.device)
        self.target.fill_diagonal_(1 / n + eps)
        self._floor = float(n + self.target.square().sum())
        self._rows = n * torch.arange(n, device=like.device)

    def __call__(self, order: Tensor) -> Tensor:
        return self._floor - 2 * self.target.take(self._rows + order).sum(-1)

    def relaxed(self, matrix: Tensor) -> tuple[Tensor, Tensor]:
        distance = matrix - self.target
        return distance.square().sum((-1, -2)), 2 * distance

    def bend(self, matrix: Tensor, direction: Tensor) -> Tensor:
        return 2 * direction


class Toy(Problem):
    """The toy for `runs` runs."""

    def __init__(self, n: int, eps: float, runs: int, restarts: int, like: Tensor) -> None:
        self.n, self.rows, self.restarts, self.device = n, runs * restarts, restarts, like.device
        self.cost = ToyCost(n, eps, like)
