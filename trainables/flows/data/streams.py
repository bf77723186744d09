"""The batch of every step: fixed numbers of labelled and unlabelled examples, drawn with replacement.

A batch depends on (seed, step) alone, so a resumed run needs no sampler state. Every worker draws the whole batch and
takes its share, so any number of workers computes the same numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from raybayes.contract import Context
from raybayes.errors import SpecError
from trainables.flows.config import Config
from trainables.flows.data.examples import FlowData
from trainables.flows.layers import dequantise


@dataclass(frozen=True)
class Batch:
    """A worker's share of a step's batch.

    Args:
        x: as the flow takes them, labelled rows first.
        labels: of the labelled rows.
        again: the unlabelled rows under a second augmentation; None unless the objective compares two views.
    """

    x: Tensor
    labels: Tensor
    again: Tensor | None


class Stream:
    """Draws batches.

    Raises:
        SpecError: the labelled or the unlabelled examples of a batch cannot be divided evenly among the workers.
    """

    def __init__(self, config: Config, data: FlowData, ctx: Context) -> None:
        self.config, self.data, self.ctx = config, data, ctx
        for what, count in (("labelled", config.labelled), ("unlabelled", config.unlabelled)):
            if count % ctx.world_size:
                raise SpecError(
                    f"batch = {config.batch} with labelled_share = {config.labelled_share:g} has {count} {what}"
                    f" examples per step, which {ctx.world_size} workers cannot share evenly; change batch or"
                    f" labelled_share."
                )

    def batch(self, step: int) -> Batch:
        """This worker's share of the batch of a step."""
        rng = self.ctx.rng(f"batch/{step}")
        data, config = self.data, self.config
        mine = slice(self.ctx.rank, None, self.ctx.world_size)
        rows = [
            of[torch.randint(len(of), (count,), generator=rng).to(of.device)]
            for of, count in ((data.labelled, config.labelled), (data.unlabelled, config.unlabelled))
            if count
        ]
        seed = int(torch.randint(2**62, (), generator=rng))
        noise = torch.Generator(self.ctx.device).manual_seed(seed)
        # Rank and labels first: every worker holds labelled rows, then unlabelled ones.
        x = [augmented(data.train.x[part], config, noise)[mine] for part in rows]
        again = None
        if config.traits.two_views:
            again = augmented(data.train.x[rows[1]], config, noise)[mine]
        return Batch(torch.cat(x), data.train.labels[rows[0]][mine], again)

    def first(self, least: int = 512) -> Tensor:
        """The examples that initialise the flow, the same on every worker; 256 or more give stable statistics."""
        rng = self.ctx.rng("initialise")
        x = self.data.train.x
        if self.config.unlabelled == 0:
            x = x[self.data.labelled]
        rows = torch.randint(len(x), (max(least, self.config.batch),), generator=rng).to(x.device)
        noise = torch.Generator(self.ctx.device).manual_seed(int(torch.randint(2**62, (), generator=rng)))
        return augmented(x[rows], self.config, noise)


def augmented(x: Tensor, config: Config, noise: torch.Generator) -> Tensor:
    """Training examples with fresh noise: pictures shifted and dequantised, vectors blurred."""
    if x.dtype != torch.uint8:
        if not config.input_noise:
            return x
        return x + config.input_noise * torch.randn(x.shape, generator=noise, device=x.device)
    if config.crop:
        x = shifted(x, config.crop, noise)
    return dequantise(x, torch.rand(x.shape, generator=noise, device=x.device))


def shifted(pictures: Tensor, most: int, noise: torch.Generator) -> Tensor:
    """Each picture moved by up to `most` pixels down and across, black behind it; (n, channels, height, width)."""
    n, _, height, width = pictures.shape
    corner = torch.randint(0, 2 * most + 1, (2, n, 1), generator=noise, device=pictures.device)
    rows = (corner[0] + torch.arange(height, device=pictures.device))[:, :, None]
    columns = (corner[1] + torch.arange(width, device=pictures.device))[:, None, :]
    number = torch.arange(n, device=pictures.device)[:, None, None]
    return functional.pad(pictures, [most] * 4)[number, :, rows, columns].movedim(-1, 1)
