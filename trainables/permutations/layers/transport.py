"""Nearly doubly stochastic matrices."""

from __future__ import annotations

from torch import Tensor

from raybayes.errors import SpecError
from trainables.permutations.distributions import relaxations
from trainables.permutations.layers.matrices import temperature


def sinkhorn(scores: Tensor, tau: float | Tensor = 1.0, iterations: int = 20) -> Tensor:
    """Sinkhorn's operator: exp(scores / tau) with rows, then columns normalised, `iterations` times, in logarithms.

    Args:
        scores: (..., n, n), floating point.
        tau: temperature above 0; a tensor broadcasts against (..., 1, 1). The matrix tends to the assignment with the
            highest score as tau -> 0. With Gumbel noise added to the scores it is a Gumbel-Sinkhorn sample.
        iterations: of both normalisations.

    Returns:
        (..., n, n); columns sum to 1, rows nearly.

    References:
        Mena, Belanger, Linderman, Snoek, ICLR 2018, arXiv 1802.08665.
    """
    if scores.ndim < 2 or scores.shape[-1] != scores.shape[-2]:
        raise SpecError(f"found scores of shape {tuple(scores.shape)}; they must be square matrices (..., n, n).")
    if iterations < 1:
        raise SpecError(f"found iterations = {iterations}; there must be at least 1.")
    return relaxations.sinkhorn(scores / temperature(scores, tau), iterations).exp()
