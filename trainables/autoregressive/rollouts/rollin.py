"""Roll-in: which tokens the decoder is fed in training.

The model chooses in eval mode (without dropout) and without gradient; the gradient comes from one parallel pass over
the fed tokens, so a chosen token is a constant.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

import torch
from torch import Tensor

from trainables.autoregressive.config import RollInName
from trainables.autoregressive.costs.policies import Policy
from trainables.autoregressive.draws import Draws
from trainables.autoregressive.models.decoder import Seq2Seq, Source
from trainables.autoregressive.sequences.limits import Limits
from trainables.autoregressive.sequences.references import References, finish


@dataclass(frozen=True)
class RollIn:
    """The fed tokens.

    Args:
        tokens: (B, T), EOS at the end; token t is what followed the first t.
        cells: (B,) number of predicted places: up to that of EOS, or to the cap.
        from_reference: (B,) sentences that follow the ground truth as a whole.
    """

    tokens: Tensor
    cells: Tensor
    from_reference: Tensor

    def fed(self, bos: int) -> Tensor:
        """(B, 1, T): the start, then all tokens but the last."""
        return torch.nn.functional.pad(self.tokens[:, :-1], (1, 0), value=bos).unsqueeze(1)


def ground_truth(refs: References) -> RollIn:
    """Teacher forcing: L + 1 cells, that of EOS included."""
    return RollIn(refs.tokens, refs.length + 1, torch.ones(len(refs), dtype=torch.bool, device=refs.tokens.device))


Choose = Callable[[int, Tensor, Tensor], Tensor]  # (place, tokens so far (B, T), scores (B, V) of possible tokens)


@torch.no_grad()
def run(model: Seq2Seq, source: Source, limits: Limits, choose: Choose) -> RollIn:
    """Let `choose` pick a token at every place from the model's scores after the previous tokens."""
    training = model.training
    model.eval()
    shared, rows = model.begin(source)
    free, longest = limits.free, int(limits.free.max())
    width = int(limits.cap.max())
    tokens = torch.full((len(source), width), limits.rules.eos, device=free.device)
    last = torch.full((len(source),), model.bos, device=free.device)
    used = _nothing_used(model, limits)
    ended = torch.zeros(len(source), dtype=torch.bool, device=free.device)
    for place in range(longest):
        scores, rows = model.advance(shared, rows, last.unsqueeze(1))
        impossible = limits.impossible(model.vocabulary, limits.length, used)
        possible = scores[:, 0] if impossible is None else scores[:, 0].masked_fill(impossible, -torch.inf)
        over = ended | (place >= free)
        last = choose(place, tokens, possible).masked_fill(over, limits.rules.eos)
        tokens[:, place] = last
        ended = over | (last == limits.rules.eos)
        if used is not None:
            used = used.scatter(1, last.unsqueeze(1), True)
        if bool(ended.all()):
            break
    model.train(training)
    length = ((tokens == limits.rules.eos).cumsum(1) == 0).sum(1)
    cells = torch.minimum(length + 1, limits.cap)
    tokens = finish(tokens, limits.rules.eos)[:, : int(cells.max())]
    return RollIn(tokens, cells, torch.zeros_like(ended))


def _nothing_used(model: Seq2Seq, limits: Limits) -> Tensor | None:
    if not limits.rules.once:
        return None
    return torch.zeros(len(limits.cap), model.vocabulary, dtype=torch.bool, device=limits.cap.device)


def greedy(place: int, tokens: Tensor, scores: Tensor) -> Tensor:
    """The model's own arg-max."""
    return scores.argmax(1)


def sampler(draws: Draws, name: str, sentence: Tensor, sample: Tensor) -> Choose:
    """Tokens drawn from the model: one uniform number per (sentence, sample, place)."""

    def choose(place: int, tokens: Tensor, scores: Tensor) -> Tensor:
        at = torch.full_like(sentence, place)
        return drawn(scores, draws.uniform(name, sentence, sample, at).unsqueeze(1)).squeeze(1)

    return choose


def drawn(scores: Tensor, uniform: Tensor) -> Tensor:
    """Tokens (R, k) of probability softmax(scores) (R, V), from uniform numbers (R, k)."""
    total = scores.double().softmax(1).cumsum(1)
    found = torch.searchsorted(total, uniform * total[:, -1:], right=True)
    # Rounding may place a number behind the last possible token.
    last = (scores > -torch.inf).long().cumsum(1).argmax(1, keepdim=True)
    return torch.minimum(found, last)


def roll_in(
    mode: RollInName,
    model: Seq2Seq,
    source: Source,
    refs: References,
    limits: Limits,
    probability: float,
    policy: Policy | None,
    draws: Draws,
    sentence: Tensor,
) -> RollIn:
    """The roll-in of a batch.

    Args:
        mode: "gt" (teacher forcing), "learned" (the model's arg-max), "mixed" (ground truth for a whole sentence with
            `probability`, else learned), "mixed-cells" (at each place: the reference policy's next token with
            `probability`, else the arg-max: scheduled sampling), "sampled" (from the model).
        policy: for mixed-cells; given the actual prefix, so that it does not copy blindly.
        sentence: (B,) numbers of the sentences, for the draws.
    """
    match mode:
        case "gt":
            return ground_truth(refs)
        case "learned":
            return run(model, source, limits, greedy)
        case "mixed":
            return _mixed(run(model, source, limits, greedy), refs, probability, draws, sentence)
        case "mixed-cells":
            return run(model, source, limits, _mixed_cells(refs, probability, policy, draws, sentence))
        case "sampled":
            return run(model, source, limits, sampler(draws, "roll-in", sentence, torch.zeros_like(sentence)))
        case _ as unknown:
            assert_never(unknown)


def _mixed(own: RollIn, refs: References, probability: float, draws: Draws, sentence: Tensor) -> RollIn:
    """The ground truth for a whole sentence with `probability`, else the model's own sequence."""
    truth = ground_truth(refs)
    from_reference = draws.uniform("roll-in", sentence) < probability
    width = max(own.tokens.shape[1], truth.tokens.shape[1])
    padded = torch.nn.functional.pad(own.tokens, (0, width - own.tokens.shape[1]), value=refs.eos)
    tokens = torch.where(from_reference.unsqueeze(1), refs.padded(width), padded)
    cells = torch.where(from_reference, truth.cells, own.cells)
    return RollIn(tokens[:, : int(cells.max())], cells, from_reference)


def _mixed_cells(refs: References, probability: float, policy: Policy | None, draws: Draws, sentence: Tensor) -> Choose:
    rows = torch.arange(len(refs), device=refs.tokens.device)

    def choose(place: int, tokens: Tensor, scores: Tensor) -> Tensor:
        if policy is None:
            following = refs.padded(place + 1)[:, place]
        else:
            length = torch.minimum((tokens != refs.eos).sum(1), torch.full_like(rows, place))
            following = policy(tokens[:, :place], length, refs, rows).gather(1, length.unsqueeze(1)).squeeze(1)
        asked = draws.uniform("roll-in", sentence, torch.full_like(sentence, place)) < probability
        possible = scores.gather(1, following.unsqueeze(1)).squeeze(1) > -torch.inf
        return torch.where(asked & possible, following, scores.argmax(1))

    return choose
