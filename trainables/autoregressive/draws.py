"""Random numbers that depend on their purpose, not on when they are drawn.

A draw is a hash of (seed, name, indices). It does not depend on how roll-outs are chunked, on which worker has a
sentence, or on a resume, and it uses no generator.
"""

from __future__ import annotations

import zlib

import torch
from torch import Tensor

_GOLDEN, _MIX_1, _MIX_2 = -0x61C8864680B583EB, -0x40A7B892E31B1A47, -0x6B2FB644ECCEEE15  # splitmix64's, as int64


def _shift(x: Tensor, bits: int) -> Tensor:
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _mix(x: Tensor) -> Tensor:
    x = (x ^ _shift(x, 30)) * _MIX_1
    x = (x ^ _shift(x, 27)) * _MIX_2
    return x ^ _shift(x, 31)


class Draws:
    """Uniform and normal numbers by name and index.

    Args:
        seed: of the trial.
        moment: of training, for example an iteration.

    References:
        Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014 (the mixing function).
    """

    def __init__(self, seed: int, moment: int = 0) -> None:
        self._seed, self._moment = seed, moment

    def uniform(self, name: str, *indices: Tensor) -> Tensor:
        """Numbers in (0, 1), float64, of the shape that the int64 indices broadcast to."""
        state = torch.zeros((), dtype=torch.int64, device=indices[0].device)
        for key in (self._seed, self._moment, zlib.crc32(name.encode())):
            state = _mix(state + _GOLDEN + key)
        for index in indices:
            state = _mix(state + _GOLDEN + index)
        return (_shift(state, 11).double() + 0.5) * 2.0**-53

    def normal(self, name: str, *indices: Tensor) -> Tensor:
        """Standard normal numbers, float64."""
        found: Tensor = torch.special.ndtri(self.uniform(name, *indices))
        return found
