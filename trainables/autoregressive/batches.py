"""Which sentences a step trains on."""

from __future__ import annotations

import torch
from torch import Tensor

from raybayes.contract import Context
from trainables.autoregressive.draws import Draws
from trainables.autoregressive.tasks.data import Split


class Order:
    """A new order every epoch; sentences of similar length together if `pool` > 1.

    The order is a function of (seed, iteration), so it needs no state. All workers see the same batches; worker r of W
    takes sentences r, r + W, .. of each.

    Args:
        batch: sentences per step, over all workers.
        pool: batches that are sorted by length together; 1: none.
    """

    def __init__(self, split: Split, batch: int, pool: int, ctx: Context) -> None:
        self._length, self._batch, self._pool = split.refs.length.cpu(), batch, pool
        self._seed, self._device = ctx.seed, ctx.device
        self._mine = torch.arange(ctx.rank, batch, ctx.world_size)
        self._epoch, self._batches = -1, torch.empty(0)

    def batch(self, iteration: int) -> tuple[Tensor, Tensor]:
        """This worker's rows of the data set, and their numbers within the whole batch."""
        per_epoch = max(1, len(self._length) // self._batch)
        epoch, place = divmod(iteration, per_epoch)
        if epoch != self._epoch:
            self._epoch, self._batches = epoch, self._shuffled(epoch, per_epoch)
        return self._batches[place][self._mine].to(self._device), self._mine.to(self._device)

    def _shuffled(self, epoch: int, per_epoch: int) -> Tensor:
        """(batches, batch): pools of some batches are sorted by length, then the batches are shuffled."""
        draws = Draws(self._seed, epoch)
        n = len(self._length)
        order = draws.uniform("order", torch.arange(n)).argsort()
        wanted = per_epoch * self._batch
        order = order.repeat(-(-wanted // n))[:wanted]
        pools = [pool[self._length[pool].argsort(dim=0, stable=True)] for pool in order.split(self._pool * self._batch)]
        batches = torch.cat(pools).reshape(per_epoch, self._batch)
        return batches[draws.uniform("batches", torch.arange(per_epoch)).argsort()]
