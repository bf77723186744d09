"""Greedy and beam decoding."""

from __future__ import annotations

import torch
from torch import Tensor

from raybayes.errors import DataError
from trainables.autoregressive.models.decoder import Seq2Seq, Source, taken
from trainables.autoregressive.rollouts.rollin import greedy, run
from trainables.autoregressive.sequences.limits import Limits
from trainables.autoregressive.sequences.references import finish


@torch.no_grad()
def decode(
    model: Seq2Seq, source: Source, limits: Limits, beam: int = 1, length_penalty: float = 0.0, scale: float = 1.0
) -> Tensor:
    """The best hypotheses (B, W), EOS at the end: greedy for beam = 1, else by beam search.

    Args:
        beam: hypotheses kept at each place, ranked by the sum of log softmax(scale · scores).
        length_penalty: finished ones are compared by sum / length^penalty (EOS counts); 0 prefers short ones.
        scale: of the scores; the SeaRNN code's test scripts take 2.4 for its cost-sensitive models.

    Raises:
        DataError: beam < 1.
    """
    if beam < 1:
        raise DataError(f"beam = {beam} must be 1 (greedy) or more.")
    if beam == 1:
        return run(model, source, limits, greedy).tokens
    training = model.training
    model.eval()
    found = _beam(model, source, limits, beam, length_penalty, scale)
    model.train(training)
    return found


def _beam(model: Seq2Seq, source: Source, limits: Limits, beam: int, length_penalty: float, scale: float) -> Tensor:
    """A finished hypothesis stays in the beam, with EOS as its only continuation, at no cost."""
    shared, rows = model.begin(source)
    sentences, vocabulary, eos = len(source), model.vocabulary, limits.rules.eos
    device = limits.cap.device
    width, free = int(limits.cap.max()), limits.free.unsqueeze(1)
    total = torch.zeros(sentences, 1, dtype=torch.float64, device=device)
    tokens = torch.full((sentences, 1, width), eos, device=device)
    last = torch.full((sentences, 1), model.bos, device=device)
    ended = torch.zeros(sentences, 1, dtype=torch.bool, device=device)
    length = torch.zeros(sentences, 1, dtype=torch.int64, device=device)
    only_eos = torch.full((vocabulary,), -torch.inf, dtype=torch.float64, device=device)
    only_eos[eos] = 0.0
    for place in range(int(limits.free.max())):
        scores, rows = model.advance(shared, rows, last)
        used = None
        if limits.rules.once:
            used = torch.zeros_like(scores, dtype=torch.bool).scatter(2, tokens[:, :, :place], True)
        impossible = limits.impossible(vocabulary, limits.length.unsqueeze(1).expand_as(last), used)
        if impossible is not None:
            scores = scores.masked_fill(impossible, -torch.inf)
        steps = (scale * scores.double()).log_softmax(2)
        over = ended | (place >= free)
        steps = torch.where(over.unsqueeze(2), only_eos, steps)
        length = length + (~over).long()
        ranked = (total.unsqueeze(2) + steps) / length.clamp_min(1).unsqueeze(2).double() ** length_penalty
        keep = min(beam, ranked.shape[1] * vocabulary)
        _, best = ranked.flatten(1).topk(keep, 1)
        parent, token = best // vocabulary, best % vocabulary
        total = (total.unsqueeze(2) + steps).flatten(1).gather(1, best)
        rows = taken(rows, parent)
        tokens = tokens.gather(1, parent.unsqueeze(2).expand(-1, -1, width))
        tokens[:, :, place] = token
        ended = over.gather(1, parent) | (token == eos)
        length, last = length.gather(1, parent), token
        if bool(ended.all()):
            break
    score = total / length.clamp_min(1).double() ** length_penalty
    best = tokens[torch.arange(sentences, device=device), score.argmax(1)]
    return finish(best, eos)
