"""All roll-outs of a batch as one decode.

(sentence, cell, token) rows are sorted by how many steps they have left, so the active rows are always the leading
columns of the grid: no mask, no gather. What the k tokens of a cell share is computed once per cell; what the roll-outs
of a sentence share (memory, prefix cache) is never copied. Chunks bound the memory and change nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from raybayes.errors import DataError
from trainables.autoregressive.models.decoder import Seq2Seq, Trace, narrowed, taken
from trainables.autoregressive.sequences.limits import Limits, chosen
from trainables.autoregressive.sequences.references import finish
from trainables.autoregressive.sequences.tried import Tried

COMPACT_EVERY = 4  # steps between two checks for rows that ended early
DEAD_SHARE = 0.3  # share of ended rows above which a compaction pays off


@dataclass(frozen=True)
class RollOuts:
    """Finished sequences.

    Args:
        hyps: (R, W) tokens, EOS at the end; one row per tried token, cell by cell.
        length: (R,) how many tokens of them the prefix, the tried token and the roll-out have set.
        cell, column: (R,) where in the (N, k) of what was tried a row belongs.
        steps: model steps of all rows, padding included.
    """

    hyps: Tensor
    length: Tensor
    cell: Tensor
    column: Tensor
    steps: int


@dataclass(frozen=True)
class _Plan:
    """The rows in order: cell by cell."""

    sentence: Tensor
    time: Tensor
    token: Tensor
    left: Tensor  # steps left for the model
    cell: Tensor


@torch.no_grad()
def roll_out(
    model: Seq2Seq, trace: Trace, tried: Tried, limits: Limits, steps: int | None = None, chunk: int = 8192
) -> RollOuts:
    """Finish every tried token greedily with the model.

    Args:
        model: in eval mode.
        trace: of the roll-in.
        steps: most steps of the model; None: to the end.
        chunk: rows in memory at once; the result does not depend on it.

    Raises:
        DataError: a cell lies at or behind the cap of its sentence.
    """
    cell, column = tried.mask.nonzero(as_tuple=True)
    sentence, time, token = tried.sentence[cell], tried.time[cell], tried.tokens[cell, column]
    if len(cell) and bool((time >= limits.cap[sentence]).any()):
        row = int((time >= limits.cap[sentence]).nonzero()[0])
        raise DataError(
            f"cell {int(time[row])} of sentence {int(sentence[row])} lies beyond its cap of "
            f"{int(limits.cap[sentence[row]])} places; raise the cap, or choose earlier cells."
        )
    left = (limits.free[sentence] - time - 1).clamp_min(0)
    if steps is not None:
        left = left.clamp_max(steps)
    left = left.masked_fill(token == limits.rules.eos, 0)
    plan = _Plan(sentence, time, token, left, cell)
    width = int(limits.cap.max()) if len(limits.cap) else 0
    hyps = _begun(tried.prefix, plan, width, limits.rules.eos)
    spent = 0
    for rows, group in _grids(plan, len(limits.cap), model.grouped, chunk):
        spent += _decode(model, trace, tried, limits, plan, rows, group, hyps)
    return RollOuts(finish(hyps, limits.rules.eos), time + 1 + left, cell, column, spent)


def _begun(prefix: Tensor, plan: _Plan, width: int, eos: int) -> Tensor:
    """(R, width): prefix and tried token, then EOS."""
    padded = torch.nn.functional.pad(prefix, (0, max(0, width - prefix.shape[1])), value=eos)[:, :width]
    places = torch.arange(width, device=prefix.device)
    hyps = padded[plan.sentence].masked_fill(places >= plan.time.unsqueeze(1), eos)
    return hyps.scatter_(1, plan.time.unsqueeze(1), plan.token.unsqueeze(1))


def _grids(plan: _Plan, sentences: int, grouped: bool, chunk: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Grids (G, M) of row numbers, -1 as padding, and the sentence (G,) of each group.

    Rows without steps left are in no grid. One group, without a sentence, if the model does not need it.
    """
    rows = (plan.left > 0).nonzero().squeeze(1)
    if not len(rows):
        return
    order = rows[plan.left[rows].argsort(dim=0, descending=True, stable=True)]
    if not grouped:
        nobody = torch.empty(0, dtype=torch.int64, device=rows.device)
        for part in order.split(chunk):
            yield part.unsqueeze(0), nobody
        return
    order = order[plan.sentence[order].argsort(dim=0, stable=True)]
    whose = plan.sentence[order]
    count = torch.bincount(whose, minlength=sentences)
    start = count.cumsum(0) - count
    groups = count.nonzero().squeeze(1)
    groups = groups[count[groups].argsort(dim=0, descending=True, stable=True)]  # full grids, little padding
    while len(groups):
        widest = int(count[groups[0]])
        here, groups = groups[: max(1, chunk // widest)], groups[max(1, chunk // widest) :]
        columns = torch.arange(widest, device=rows.device)
        inside = columns < count[here].unsqueeze(1)
        grid = torch.where(inside, order[(start[here].unsqueeze(1) + columns).clamp_max(len(order) - 1)], -1)
        for part in grid.split(chunk, 1):
            yield part, here


def _decode(
    model: Seq2Seq, trace: Trace, tried: Tried, limits: Limits, plan: _Plan, rows: Tensor, group: Tensor, hyps: Tensor
) -> int:
    """Roll out one grid and write its tokens into `hyps`; returns the steps spent."""
    row = rows.clamp_min(0)
    left = plan.left[row].masked_fill(rows < 0, 0)
    still = [int(n) for n in (left.unsqueeze(2) > torch.arange(int(left.max()), device=left.device)).sum(1).amax(0)]
    shared, states = model.branch(trace, group, tried.sentence, tried.time, plan.cell[row])
    whose, tokens = plan.sentence[row], plan.token[row]
    column = torch.arange(rows.shape[1], device=rows.device).expand_as(rows)
    written = torch.full((*rows.shape, len(still)), limits.rules.eos, device=rows.device)
    ended = torch.zeros_like(rows, dtype=torch.bool)
    used = _used(hyps, row, model.vocabulary) if limits.rules.once else None
    spent = 0
    for step, active in enumerate(still):
        active = min(active, tokens.shape[1])
        if not limits.rules.fixed and step and step % COMPACT_EVERY == 0:
            alive = ~ended[:, :active] & (left[:, :active] > step)
            if float(alive.float().mean()) < 1 - DEAD_SHARE:
                active = int(alive.sum(1).max())
                if not active:
                    break
                index = (~alive).long().argsort(dim=1, stable=True)[:, :active]
                states = taken(states, index)
                tokens, column, ended, left, whose = (x.gather(1, index) for x in (tokens, column, ended, left, whose))
        states = narrowed(states, active)
        scores, states = model.advance(shared, states, tokens[:, :active])
        spent += scores.shape[0] * active
        impossible = limits.impossible(model.vocabulary, limits.length[whose[:, :active]],
                                       None if used is None else used[:, :active])  # fmt: skip
        tokens = chosen(scores, impossible)
        if used is not None:
            used = used[:, :active].scatter(2, tokens.unsqueeze(2), True)
        ended = ended[:, :active]
        over = ended | (left[:, :active] <= step)
        written[:, :, step].scatter_(1, column[:, :active], tokens.masked_fill(over, limits.rules.eos))
        ended = ended | (tokens == limits.rules.eos)
    _write(hyps, rows, plan, written)
    return spent


def _used(hyps: Tensor, row: Tensor, vocabulary: int) -> Tensor:
    """(G, M, V): the tokens of prefix and tried token; includes EOS, the padding."""
    found = torch.zeros(*row.shape, vocabulary, dtype=torch.bool, device=hyps.device)
    return found.scatter(2, hyps[row], True)


def _write(hyps: Tensor, rows: Tensor, plan: _Plan, written: Tensor) -> None:
    inside = rows >= 0
    row, tokens = rows[inside], written[inside]
    places = plan.time[row].unsqueeze(1) + 1 + torch.arange(tokens.shape[1], device=hyps.device)
    fits = torch.arange(tokens.shape[1], device=hyps.device) < plan.left[row].unsqueeze(1)
    hyps[row.unsqueeze(1).expand_as(places)[fits], places[fits]] = tokens[fits]
