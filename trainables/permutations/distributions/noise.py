"""Sources of random numbers: one generator, or one per fused trial."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class Streams:
    """Generators side by side: each draws for its rows what it would draw for them in a trial of its own.

    Args:
        generators: one per trial, all on one device.
        rows: how many rows each one draws for, the same for all.
    """

    def __init__(self, generators: Sequence[torch.Generator], rows: int) -> None:
        self._generators, self._rows = generators, rows
        self.device = generators[0].device

    def parts(self, drawn: Tensor) -> list[tuple[Tensor, torch.Generator]]:
        """The rows of each generator, as views."""
        return list(zip(drawn.split(self._rows), self._generators, strict=True))


Source = torch.Generator | Streams


def rand(shape: Sequence[int], source: Source | None, dtype: torch.dtype, device: torch.device | None = None) -> Tensor:
    """Uniform numbers in [0, 1), drawn where the source lives (without one: on `device`)."""
    if not isinstance(source, Streams):
        place = device if source is None else source.device
        return torch.rand(tuple(shape), dtype=dtype, device=place, generator=source)
    drawn = torch.empty(tuple(shape), dtype=dtype, device=source.device)
    for part, generator in source.parts(drawn):
        part.uniform_(generator=generator)
    return drawn


def randn(shape: Sequence[int], source: Source, dtype: torch.dtype) -> Tensor:
    """Standard normal numbers, drawn where the source lives."""
    if not isinstance(source, Streams):
        return torch.randn(tuple(shape), dtype=dtype, device=source.device, generator=source)
    drawn = torch.empty(tuple(shape), dtype=dtype, device=source.device)
    for part, generator in source.parts(drawn):
        part.normal_(generator=generator)
    return drawn
