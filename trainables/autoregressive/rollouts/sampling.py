"""Which cells are trained, and which tokens are tried in them, as padded (N, k) index tensors, never (T, B, V)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

import torch
from torch import Tensor

from trainables.autoregressive.config import TokenMode
from trainables.autoregressive.draws import Draws
from trainables.autoregressive.rollouts.rollin import RollIn, drawn
from trainables.autoregressive.sequences.limits import Limits
from trainables.autoregressive.sequences.references import References
from trainables.autoregressive.sequences.tried import Tried


@dataclass(frozen=True)
class TokenChoice:
    """How tokens are chosen.

    Args:
        mode: "all"; "uniform" (k ids, uniformly), "policy" (k samples of the model), "biased" (the same with the
            ground truth guaranteed), "topk" (the k likeliest), "neighbours" (the ground truth's tokens at
            t - n .. t + n), "union" (the SeaRNN code: ground truth, EOS, k uniform, `top` likeliest, neighbours), or
            "targeted" (tokens whose probability is within `threshold` of the cell's largest, and the ground truth).
        k: how many are drawn; duplicates collapse.
        top: likeliest tokens of "union".
        reach: n of the neighbours.
        threshold: of "targeted", a difference of probabilities.
        most: tokens per sentence that "targeted" keeps at random, in addition to the ground truth.
    """

    mode: TokenMode = "all"
    k: int = 5
    top: int = 5
    reach: int = 2
    threshold: float = 0.1
    most: int = 1000


def choose_cells(rolled: RollIn, most: int, fixed: bool, draws: Draws, sentence: Tensor) -> tuple[Tensor, Tensor]:
    """(sentence, time) of min(cells, most) cells per sentence, without replacement, in order.

    If the length is free, the cell of EOS and the one before it are added.

    Args:
        sentence: (B,) numbers of the sentences, for the draws.
    """
    places = torch.arange(rolled.tokens.shape[1], device=sentence.device)
    inside = places < rolled.cells.unsqueeze(1)
    if int(rolled.cells.max()) > most:
        key = draws.uniform("cells", sentence.unsqueeze(1), places).masked_fill(~inside, 2.0)
        rank = key.argsort(1).argsort(1)
        picked = inside & (rank < most)
        if not fixed:
            picked |= inside & (places >= rolled.cells.unsqueeze(1) - 2)
        inside = picked
    row, time = inside.nonzero(as_tuple=True)
    return row, time


def choose_tokens(
    choice: TokenChoice,
    rolled: RollIn,
    row: Tensor,
    time: Tensor,
    scores: Tensor,
    refs: References,
    limits: Limits,
    draws: Draws,
    sentence: Tensor,
) -> Tried:
    """What is tried in each cell.

    Args:
        row, time: (N,) the cells.
        scores: (N, V) of the roll-in there.
        sentence: (B,) numbers of the sentences, for the draws.
    """
    vocabulary = scores.shape[1]
    possible = _possible(rolled, row, time, limits, vocabulary)
    if choice.mode == "all":
        tokens = torch.arange(vocabulary, device=row.device).expand(len(row), -1)
        if possible is None:
            return Tried(rolled.tokens, row, time, tokens, torch.ones_like(tokens, dtype=torch.bool))
        return _packed(rolled, row, time, tokens, possible)
    tokens, mask = _drawn(choice, row, time, scores, refs, limits, draws, sentence, possible)
    tokens, order = tokens.masked_fill(~mask, vocabulary).sort(1)
    mask = mask.gather(1, order)
    repeated = torch.nn.functional.pad(tokens[:, 1:] == tokens[:, :-1], (1, 0))
    mask = mask & ~repeated
    tokens = tokens.clamp_max(vocabulary - 1)
    if possible is not None:
        mask &= possible.gather(1, tokens)
        # An order may have used all drawn tokens; a cell without tokens would have no loss.
        likeliest = scores.masked_fill(~possible, -torch.inf).argmax(1, keepdim=True)
        tokens = torch.cat([tokens, likeliest], 1)
        mask = torch.cat([mask, ~mask.any(1, keepdim=True)], 1)
    return _packed(rolled, row, time, tokens, mask)


def _possible(rolled: RollIn, row: Tensor, time: Tensor, limits: Limits, vocabulary: int) -> Tensor | None:
    """(N, V): possible tokens if each is used once, EOS only at the end; None otherwise.

    If only the length is given, EOS and letters are tried everywhere: a wrong one just costs.
    """
    if not limits.rules.once:
        return None
    eos = limits.rules.eos
    places = torch.arange(rolled.tokens.shape[1], device=row.device)
    before = rolled.tokens[row].masked_fill(places >= time.unsqueeze(1), eos)
    used = torch.zeros(len(row), vocabulary, dtype=torch.bool, device=row.device).scatter(1, before, True)
    length = limits.length[row].unsqueeze(1)
    tokens = torch.arange(vocabulary, device=row.device)
    at_end = time.unsqueeze(1) >= length
    return torch.where(tokens == eos, at_end, (tokens < length) & ~used & ~at_end)


def _packed(rolled: RollIn, row: Tensor, time: Tensor, tokens: Tensor, mask: Tensor) -> Tried:
    """Chosen tokens moved to the left, in as few columns as possible."""
    order = (~mask).long().argsort(dim=1, stable=True)[:, : max(int(mask.sum(1).max()), 1)]
    return Tried(rolled.tokens, row, time, tokens.gather(1, order), mask.gather(1, order))


def _drawn(
    choice: TokenChoice,
    row: Tensor,
    time: Tensor,
    scores: Tensor,
    refs: References,
    limits: Limits,
    draws: Draws,
    sentence: Tensor,
    possible: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Tokens (N, K), duplicates included, and which of them count."""
    vocabulary, cells = scores.shape[1], (sentence[row].unsqueeze(1), time.unsqueeze(1))
    if possible is not None:
        scores = scores.masked_fill(~possible, -torch.inf)
    truth = _truth_at(refs, row, time.unsqueeze(1))
    numbers = torch.arange(choice.k, device=row.device)
    match choice.mode:
        case "targeted":
            return _targeted(choice, row, time, scores, truth, draws, sentence)
        case "all":
            raise ValueError("tokens.mode = all draws no tokens")
        case "uniform":
            tokens = (draws.uniform("tokens", *cells, numbers) * vocabulary).long()
        case "policy":
            tokens = drawn(scores, draws.uniform("tokens", *cells, numbers))
        case "biased":
            tokens = torch.cat([truth, drawn(scores, draws.uniform("tokens", *cells, numbers[:-1]))], 1)
        case "topk":
            tokens = scores.topk(min(choice.k, vocabulary), 1).indices
        case "neighbours":
            tokens = _neighbours(choice, refs, row, time)
        case "union":
            parts = [truth, scores.topk(min(choice.top, vocabulary), 1).indices, _neighbours(choice, refs, row, time),
                     (draws.uniform("tokens", *cells, numbers) * vocabulary).long()]  # fmt: skip
            end = [] if limits.rules.fixed else [torch.full_like(truth, refs.eos)]
            tokens = torch.cat([*parts, *end], 1)
        case _ as unknown:
            assert_never(unknown)
    return tokens, torch.ones_like(tokens, dtype=torch.bool)


def _truth_at(refs: References, row: Tensor, places: Tensor) -> Tensor:
    """Ground truth tokens at places (N, n); EOS beyond the end."""
    inside = (places >= 0) & (places < refs.tokens.shape[1])
    found = refs.tokens[row.unsqueeze(1), places.clamp(0, refs.tokens.shape[1] - 1)]
    return torch.where(inside, found, refs.eos)


def _neighbours(choice: TokenChoice, refs: References, row: Tensor, time: Tensor) -> Tensor:
    offsets = torch.arange(-choice.reach, choice.reach + 1, device=row.device)
    places = (time.unsqueeze(1) + offsets).clamp_min(0)
    return _truth_at(refs, row, places)


def _targeted(
    choice: TokenChoice, row: Tensor, time: Tensor, scores: Tensor, truth: Tensor, draws: Draws, sentence: Tensor
) -> tuple[Tensor, Tensor]:
    p = scores.softmax(1)
    mask = p >= p.max(1, keepdim=True).values - choice.threshold
    count = torch.zeros(len(sentence), dtype=torch.int64, device=row.device).scatter_add(0, row, mask.sum(1))
    if int(count.max()) > choice.most:
        tokens = torch.arange(p.shape[1], device=row.device)
        key = draws.uniform("thin", sentence[row].unsqueeze(1), time.unsqueeze(1), tokens).masked_fill(~mask, 2.0)
        mask &= key < _thresholds(key, row, len(sentence), choice.most)[row].unsqueeze(1)
    width = max(int(mask.sum(1).max()), 1)
    tokens = (~mask).long().argsort(dim=1, stable=True)[:, :width]
    return torch.cat([tokens, truth], 1), torch.cat([mask.gather(1, tokens), torch.ones_like(truth).bool()], 1)


def _thresholds(key: Tensor, row: Tensor, sentences: int, most: int) -> Tensor:
    """The key of each sentence below which `most` of its tokens lie."""
    found = torch.full((sentences,), 2.0, dtype=key.dtype, device=key.device)
    for each in range(sentences):
        mine = key[row == each].flatten().sort().values
        if most < len(mine):
            found[each] = mine[most]
    return found
