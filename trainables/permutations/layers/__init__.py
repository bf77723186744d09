"""Differentiable sorting for any torch model: functions of tensors, differentiable as often as needed.

    soft_rank(x)       (..., n) -> (..., n)      ranks 1 .. n, ascending
    soft_sort(x)       (..., n) -> (..., n)      the values in ascending order
    neuralsort(x)      (..., n) -> (..., n, n)   soft permutation matrix, largest first: P @ x is x in descending order
    softsort(x)        (..., n) -> (..., n, n)   the same, cheaper
    sinkhorn(scores)   (..., n, n) -> (..., n, n)   nearly doubly stochastic matrix

A layer is one file here and one line in `LAYERS`.
"""

from collections.abc import Callable

from torch import Tensor

from trainables.permutations.layers.matrices import neuralsort, softsort
from trainables.permutations.layers.permutahedron import soft_rank, soft_sort
from trainables.permutations.layers.transport import sinkhorn

LAYERS: dict[str, Callable[..., Tensor]] = {
    "soft_rank": soft_rank,
    "soft_sort": soft_sort,
    "neuralsort": neuralsort,
    "softsort": softsort,
    "sinkhorn": sinkhorn,
}

__all__ = ["LAYERS", "neuralsort", "sinkhorn", "soft_rank", "soft_sort", "softsort"]
