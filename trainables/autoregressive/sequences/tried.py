"""Which tokens are tried in which cells."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Tried:
    """What is tried: N cells of some sentences' prefixes, k tokens each.

    Args:
        prefix: (B, T) the roll-in's tokens; cell t's prefix is the first t of them, none of which is EOS.
        sentence, time: (N,) where the cells are.
        tokens: (N, k) what is tried in each cell; masked places are ignored.
        mask: (N, k).
    """

    prefix: Tensor
    sentence: Tensor
    time: Tensor
    tokens: Tensor
    mask: Tensor
