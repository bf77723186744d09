"""Soft permutation matrices of a vector's descending order."""

from __future__ import annotations

import torch
from torch import Tensor

from raybayes.errors import SpecError
from trainables.permutations.distributions import relaxations


def neuralsort(x: Tensor, tau: float | Tensor = 1.0) -> Tensor:
    """NeuralSort: row i is a soft choice of the i-th largest entry.

    Args:
        x: (..., n), floating point.
        tau: temperature above 0; a tensor broadcasts against (..., 1, 1). The matrix is the permutation as tau -> 0.

    Returns:
        (..., n, n), rows sum to 1.

    References:
        Grover, Wang, Zweig, Ermon, ICLR 2019, arXiv 1903.08850.

    Example:
        >>> neuralsort(torch.tensor([0.0, 9.0]), tau=0.1).round(decimals=3)
        tensor([[0., 1.],
                [1., 0.]])
    """
    return relaxations.neuralsort(x, temperature(x, tau)).matrix


def softsort(x: Tensor, tau: float | Tensor = 1.0) -> Tensor:
    """SoftSort: row i is softmax_j(-|sort(x, descending)_i - x_j| / tau).

    Args:
        x: (..., n), floating point.
        tau: temperature above 0; a tensor broadcasts against (..., 1, 1).

    Returns:
        (..., n, n), rows sum to 1.

    References:
        Prillo, Eisenschlos, ICML 2020, arXiv 2006.16038.
    """
    return relaxations.softsort(x, temperature(x, tau)).matrix


def temperature(x: Tensor, tau: float | Tensor) -> Tensor:
    """tau as a tensor like x; SpecError if it is not above 0, or x holds integers."""
    if not x.is_floating_point():
        raise SpecError(f"found a tensor of {x.dtype}; it must hold floating point numbers.")
    found = torch.as_tensor(tau, dtype=x.dtype, device=x.device)
    if not bool((found > 0).all()):
        raise SpecError(f"found tau = {tau}; a temperature must be above 0.")
    return found
