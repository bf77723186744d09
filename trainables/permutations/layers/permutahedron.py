"""Soft ranks and soft sorting: projections onto the permutahedron, the convex hull of all orders of a vector.

References:
    Blondel, Teboul, Berthet, Djolonga, Fast differentiable sorting and ranking, ICML 2020, arXiv 2002.08871.
"""

from __future__ import annotations

import torch
from torch import Tensor

from raybayes.errors import SpecError


def soft_rank(x: Tensor, strength: float = 1.0) -> Tensor:
    """Ranks from 1 (the smallest) to n, piecewise linear in x; they sum to n(n + 1)/2.

    Args:
        x: (..., n), floating point. Negate it for descending ranks.
        strength: of the quadratic regularisation. Ranks are exact where values lie further apart than `strength`, and
            tend to (n + 1)/2 as it grows.

    Returns:
        (..., n).

    Example:
        >>> soft_rank(torch.tensor([2.0, -1.0, 0.5]), strength=0.1)
        tensor([3., 1., 2.])
    """
    _require(x, strength)
    w = torch.arange(x.shape[-1], 0, -1, dtype=x.dtype, device=x.device)
    return _project(x / strength, w.expand_as(x))


def soft_sort(x: Tensor, strength: float = 1.0) -> Tensor:
    """The values in ascending order, piecewise linear in x; their sum is that of x.

    Args:
        x: (..., n), floating point.
        strength: of the quadratic regularisation; as it grows, all values tend to their mean.

    Returns:
        (..., n).

    Example:
        >>> soft_sort(torch.tensor([2.0, -1.0, 0.5]), strength=0.1)
        tensor([-1.0000,  0.5000,  2.0000])
    """
    _require(x, strength)
    n = x.shape[-1]
    z = torch.arange(n, 0, -1, dtype=x.dtype, device=x.device).expand_as(x) / strength
    return -_project(z, (-x).sort(-1, descending=True).values)


def _project(z: Tensor, w: Tensor) -> Tensor:
    """The nearest point to z (..., n) of the permutahedron of w (..., n), w descending."""
    s, order = torch.sort(z, dim=-1, descending=True, stable=True)
    fitted = _descending(s.double() - w.double()).to(z.dtype)
    return z - torch.zeros_like(fitted).scatter(-1, order, fitted)


def _descending(y: Tensor) -> Tensor:
    """Isotonic regression: the nearest descending vector to y (..., n), by means over blocks.

    v_i = min over j <= i of max over k >= i of mean(y_j .. y_k), with memory (..., n, n).
    """
    n = y.shape[-1]
    total = torch.nn.functional.pad(y.cumsum(-1), (1, 0))
    places = torch.arange(n, device=y.device)
    count = (places - places.unsqueeze(-1) + 1).clamp(min=1)
    means = (total[..., 1:].unsqueeze(-2) - total[..., :-1].unsqueeze(-1)) / count  # (..., j, k)
    means = means.masked_fill(places < places.unsqueeze(-1), -torch.inf)
    highest = means.flip(-1).cummax(-1).values.flip(-1)  # (..., j, i): over k >= i
    return highest.masked_fill(places < places.unsqueeze(-1), torch.inf).min(-2).values


def _require(x: Tensor, strength: float) -> None:
    if not x.is_floating_point() or x.ndim < 1 or x.shape[-1] < 1:
        raise SpecError(f"found x of {x.dtype}, shape {tuple(x.shape)}; it must be a floating point tensor (..., n).")
    if not strength > 0:
        raise SpecError(f"found strength = {strength}; it must be above 0.")
