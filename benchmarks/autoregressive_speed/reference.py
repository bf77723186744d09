"""What a user would write otherwise: roll-outs one at a time, or one step of the roll-in at a time, or memory copied.

All use the model's own parts, so only the arrangement of the work differs.
"""

from __future__ import annotations

import sacrebleu
import torch
from torch import Tensor
from torch.nn.functional import linear

from trainables.autoregressive.models import GruSeq2Seq, Seq2Seq, Source, Trace
from trainables.autoregressive.models.gru import gru_cell
from trainables.autoregressive.sequences.limits import Limits
from trainables.autoregressive.sequences.references import finish
from trainables.autoregressive.sequences.tried import Tried

NOBODY = torch.empty(0, dtype=torch.int64)


@torch.no_grad()
def one_at_a_time(model: Seq2Seq, trace: Trace, tried: Tried, limits: Limits, rows: Tensor) -> Tensor:
    """Some roll-outs (rows of the flattened tried tokens), each alone."""
    cell, column = tried.mask.nonzero(as_tuple=True)
    width, eos = int(limits.cap.max()), limits.rules.eos
    found = torch.full((len(rows), width), eos)
    for place, row in enumerate(rows.tolist()):
        n = cell[row]
        b, t, token = int(tried.sentence[n]), int(tried.time[n]), int(tried.tokens[n, column[row]])
        found[place, :t], found[place, t] = tried.prefix[b, :t], token
        if token == eos:
            continue
        group = torch.tensor([b]) if model.grouped else NOBODY
        shared, rows_now = model.branch(trace, group, tried.sentence, tried.time, n.reshape(1, 1))
        last = torch.tensor([[token]])
        for at in range(t + 1, int(limits.free[b])):
            scores, rows_now = model.advance(shared, rows_now, last)
            if limits.rules.fixed:
                scores[..., eos] = -torch.inf
            last = scores.argmax(2)
            found[place, at] = last
            if int(last) == eos:
                break
    return finish(found, eos)


@torch.no_grad()
def step_by_step(model: Seq2Seq, trace: Trace, tried: Tried, limits: Limits) -> Tensor:
    """The SeaRNN code's arrangement: for each step of the roll-in all (sentence, token) pairs, to the common end.

    Sentences that have ended go on with the others, and their rows are thrown away. All try the same tokens.
    """
    cell, column = tried.mask.nonzero(as_tuple=True)
    sentence, time = tried.sentence[cell], tried.time[cell]
    sentences, k = len(limits.cap), tried.tokens.shape[1]
    width, eos = int(limits.cap.max()), limits.rules.eos
    everyone = torch.arange(sentences)
    row = everyone.repeat_interleave(k).unsqueeze(0)
    found = torch.full((len(cell), width), eos)
    for t in range(int(time.max()) + 1):
        tokens = torch.full((sentences * k, width), eos)
        last = tried.tokens[0].repeat(sentences).unsqueeze(0)
        tokens[:, t] = last[0]
        shared, rows_now = model.branch(trace, NOBODY, everyone, torch.full_like(everyone, t), row)
        for at in range(t + 1, int(limits.free.max())):
            scores, rows_now = model.advance(shared, rows_now, last)
            if limits.rules.fixed:
                scores[..., eos] = -torch.inf
            last = scores.argmax(2)
            tokens[:, at] = last[0]
        mine = (time == t).nonzero().squeeze(1)
        found[mine] = tokens[sentence[mine] * k + column[mine]]
        found[mine, :t] = tried.prefix[sentence[mine], :t]
    inside = torch.arange(width) < limits.free[sentence].unsqueeze(1)
    return finish(found.masked_fill(~inside, eos), eos)


@torch.no_grad()
def with_copied_memory(
    model: GruSeq2Seq, source: Source, trace: Trace, tried: Tried, limits: Limits, steps: int
) -> Tensor:
    """The first `steps` steps of all roll-outs with every sentence's memory copied for each of its rows.

    Attention as it is written down: a query from the state, weights, context, and a mixing layer over both.
    """
    cell, column = tried.mask.nonzero(as_tuple=True)
    sentence, last = tried.sentence[cell], tried.tokens[cell, column]
    memory, mask = model.encoder(source)[0][sentence], source.mask[sentence].unsqueeze(1)
    table, layer = trace.shared[0][0], model.layers[0]
    state = trace.states[0][sentence, tried.time[cell]]
    recurrent, bias = layer.get_parameter("weight_hh_l0"), layer.get_parameter("bias_hh_l0")
    found = []
    for _ in range(steps):
        state = gru_cell(table[last], linear(state, recurrent, bias), state)
        scores = model.query(state).unsqueeze(1) @ memory.transpose(1, 2)
        context = scores.masked_fill(~mask, -torch.inf).softmax(2) @ memory
        last = model.output(model.mix(torch.cat([context.squeeze(1), state], 1))).argmax(1)
        found.append(last)
    return torch.stack(found, 1)


@torch.no_grad()
def with_copied_keys(
    model: GruSeq2Seq, source: Source, trace: Trace, tried: Tried, limits: Limits, steps: int
) -> Tensor:
    """The same with raybayes' own step: what is copied are the keys and values that it makes of the memory."""
    cell, column = tried.mask.nonzero(as_tuple=True)
    sentence, last = tried.sentence[cell], tried.tokens[cell, column].unsqueeze(1)
    shared, rows = model.branch(trace, sentence, tried.sentence, tried.time, cell.unsqueeze(1))
    return _steps(model, shared, rows, last, steps)


@torch.no_grad()
def with_shared_memory(
    model: GruSeq2Seq, source: Source, trace: Trace, tried: Tried, limits: Limits, steps: int
) -> Tensor:
    """The same, grouped by sentence: every sentence has equally many rows here."""
    cell, column = tried.mask.nonzero(as_tuple=True)
    sentences = len(limits.cap)
    group = torch.arange(sentences)
    shared, rows = model.branch(trace, group, tried.sentence, tried.time, cell.reshape(sentences, -1))
    return _steps(model, shared, rows, tried.tokens[cell, column].reshape(sentences, -1), steps).reshape(
        len(cell), steps
    )


def _steps(model: Seq2Seq, shared: tuple[Tensor, ...], rows: tuple[Tensor, ...], last: Tensor, steps: int) -> Tensor:
    found = []
    for _ in range(steps):
        scores, rows = model.advance(shared, rows, last)
        last = scores.argmax(2)
        found.append(last)
    return torch.stack(found, 2).flatten(0, 1)


def sacrebleu_loop(hyps: list[str], refs: list[str]) -> list[float]:
    """Sentence BLEU of pairs, one call each."""
    return [
        sacrebleu.sentence_bleu(hyp, [ref], smooth_method="add-k", smooth_value=1, tokenize="none").score
        for hyp, ref in zip(hyps, refs, strict=True)
    ]
