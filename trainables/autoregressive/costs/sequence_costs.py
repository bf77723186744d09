"""Costs of finished sequences: 1 - the task's score of a hypothesis against its reference, in float64.

Every cost takes hypotheses (R, W) padded with EOS and returns what each costs against the reference `sentence`
(R,). A hypothesis ends before its first EOS. The definitions are pinned by tests against slow versions,
sacrebleu, NLTK's values and rapidfuzz.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from rapidfuzz.distance import Levenshtein
from rapidfuzz.process import cpdist
from torch import Tensor

from raybayes.contract import require_entries
from raybayes.errors import DataError
from trainables.autoregressive.config import CostName
from trainables.autoregressive.sequences.chunks import Tags, matched_chunks
from trainables.autoregressive.sequences.ngrams import ORDER, clipped_matches
from trainables.autoregressive.sequences.references import References, lengths

_FIRST_CHARACTER = 0x10000  # above the surrogates, which are not characters
_PAIRS_AT_ONCE = 2048


class Cost(Protocol):
    """What a finished sequence costs."""

    def __call__(self, hyps: Tensor, refs: References, sentence: Tensor) -> Tensor:
        """(R,) float64 of (R, W) tokens, each against reference `sentence` (R,)."""
        ...


def hamming(hyps: Tensor, refs: References, sentence: Tensor) -> Tensor:
    """Wrong places among 0 .. L, the place of EOS included, over L + 1 (the divisor of the SeaRNN code)."""
    return hamming_count(hyps, refs, sentence) / (refs.length[sentence] + 1)


def hamming_count(hyps: Tensor, refs: References, sentence: Tensor) -> Tensor:
    """Wrong places among 0 .. L, not divided, so that a wrong letter costs 1 in every word."""
    width = max(hyps.shape[1], refs.tokens.shape[1])
    if hyps.shape[1] < width:
        hyps = torch.nn.functional.pad(hyps, (0, width - hyps.shape[1]), value=refs.eos)
    places = torch.arange(width, device=hyps.device)
    inside = places <= refs.length[sentence].unsqueeze(1)
    return ((hyps != refs.padded(width)[sentence]) & inside).sum(1).double()


def edit(hyps: Tensor, refs: References, sentence: Tensor) -> Tensor:
    """Levenshtein distance over the length of the reference (at least 1); not bounded by 1."""
    return edit_distance(hyps, refs, sentence) / refs.length[sentence].clamp_min(1)


def edit_distance(hyps: Tensor, refs: References, sentence: Tensor) -> Tensor:
    """Levenshtein distance, by rapidfuzz's bit-parallel C++."""
    left = _texts(hyps, lengths(hyps, refs.eos))
    known = _texts(refs.tokens, refs.length)
    right = [known[row] for row in sentence.tolist()]
    found = cpdist(left, right, scorer=Levenshtein.distance, workers=1)
    return torch.from_numpy(found).to(hyps.device).double()


def _texts(tokens: Tensor, length: Tensor) -> list[str]:
    """One character a token."""
    width = tokens.shape[1]
    text = (tokens + _FIRST_CHARACTER).to("cpu", torch.int32).numpy().tobytes().decode("utf-32-le")
    return [text[row * width : row * width + n] for row, n in enumerate(length.tolist())]


def _brevity(length: Tensor, wanted: Tensor) -> Tensor:
    return torch.exp((1 - wanted / length.clamp_min(1)).clamp_max(0.0))


def bleu(hyps: Tensor, refs: References, sentence: Tensor) -> Tensor:
    """1 - smoothed sentence BLEU-4: p_n = (m_n + 1)/(t_n + 1) for every n, 1 included; score 0 without a match.

    sacrebleu's add-k leaves the unigram precision unsmoothed, NLTK's method2 has another denominator below 4 words.
    """
    length, wanted = lengths(hyps, refs.eos), refs.length[sentence].double()
    matches = clipped_matches(hyps, length, refs, sentence)
    precision = ((matches + 1).double() / (_totals(length) + 1)).prod(1) ** (1 / ORDER)
    score = _brevity(length.double(), wanted) * precision
    return 1 - score.masked_fill(matches[:, 0] == 0, 0.0)


def _totals(length: Tensor) -> Tensor:
    """Numbers of n-grams for n = 1 .. 4, (R, 4)."""
    return (length.unsqueeze(1) - torch.arange(ORDER, device=length.device)).clamp_min(0)


def _bleu1(exponent: float) -> Cost:
    def cost(hyps: Tensor, refs: References, sentence: Tensor) -> Tensor:
        length, wanted = lengths(hyps, refs.eos), refs.length[sentence].double()
        matches = clipped_matches(hyps, length, refs, sentence, order=1)[:, 0]
        score = _brevity(length.double(), wanted) * ((matches + 1) / (length + 1).double()) ** exponent
        return 1 - score.masked_fill(matches == 0, 0.0)

    return cost


def gleu(hyps: Tensor, refs: References, sentence: Tensor) -> Tensor:
    """1 - GLEU: all n-gram matches over the larger of the two numbers of n-grams (Wu et al. 2016)."""
    length, wanted = lengths(hyps, refs.eos), refs.length[sentence]
    matches = clipped_matches(hyps, length, refs, sentence).sum(1)
    totals = torch.maximum(_totals(length).sum(1), _totals(wanted).sum(1))
    return 1 - matches.double() / totals.clamp_min(1)


def kendall(hyps: Tensor, refs: References, sentence: Tensor) -> Tensor:
    """Pairs in the wrong order over n(n - 1)/2, for hypotheses that are orders of the reference's tokens.

    Raises:
        DataError: a hypothesis is not an order of its reference's tokens.
    """
    rank = order_ranks(hyps, refs, sentence)
    n = refs.length[sentence]
    found = torch.empty(len(hyps), dtype=torch.float64, device=hyps.device)
    for rows in torch.arange(len(hyps), device=hyps.device).split(_PAIRS_AT_ONCE):
        part = rank[rows]
        inverted = (part.unsqueeze(2) > part.unsqueeze(1)).triu(1)
        found[rows] = inverted.sum((1, 2)).double()
    return found / (n * (n - 1) / 2).clamp_min(1)


def order_ranks(hyps: Tensor, refs: References, sentence: Tensor) -> Tensor:
    """(R, W): the place in the reference of each token; its length, thus last, from the end on."""
    length = lengths(hyps, refs.eos)
    ranks = refs.place_of_token[sentence.unsqueeze(1), hyps]
    places = torch.arange(hyps.shape[1], device=hyps.device)
    inside = places < length.unsqueeze(1)
    wanted = refs.length[sentence]
    seen = torch.zeros(len(hyps), refs.tokens.shape[1] + 1, dtype=torch.int64, device=hyps.device)
    seen.scatter_add_(1, ranks, inside.long())
    seen[:, -1] += (length != wanted).long()
    if len(hyps) and (int(seen.max()) > 1 or int(seen[:, -1].max()) > 0):
        row = int(((seen.amax(1) > 1) | (seen[:, -1] > 0)).nonzero()[0])
        raise DataError(
            f"hypothesis {row} is {hyps[row, : int(length[row])].tolist()}, not an order of its reference's "
            f"{int(wanted[row])} tokens; Kendall's tau needs each token exactly once."
        )
    return torch.where(inside, ranks, refs.tokens.shape[1])


@dataclass(frozen=True)
class ChunkF1:
    """1 - F1 of a sentence's chunks (start, length, type); an I- tag without its B- opens a chunk.

    A sentence without chunks, in which none is found, costs 0.
    """

    tags: Tags

    def __call__(self, hyps: Tensor, refs: References, sentence: Tensor) -> Tensor:
        right, found, wanted = matched_chunks(hyps, refs, sentence, self.tags)
        return 1 - torch.where(found + wanted == 0, 1.0, 2 * right / (found + wanted).clamp_min(1))


COSTS: dict[CostName, Cost] = {
    "hamming": hamming,
    "hamming_count": hamming_count,
    "edit": edit,
    "bleu": bleu,
    "bleu1": _bleu1(1.0),
    "bleu1_searnn": _bleu1(0.25),  # the SeaRNN code keeps BLEU-4's exponent
    "gleu": gleu,
    "kendall": kendall,
}


OF_TAGS: dict[CostName, Callable[[Tags], Cost]] = {"chunk_f1": ChunkF1}
require_entries(CostName, [*COSTS, *OF_TAGS], "trainables/autoregressive/costs/sequence_costs.py: COSTS and OF_TAGS")


def build_cost(name: CostName, tags: Tags | None = None) -> Cost:
    """A cost by name; those of OF_TAGS need the meaning of the tokens.

    Raises:
        DataError: a cost of OF_TAGS without tags.
    """
    if name in COSTS:
        return COSTS[name]
    if tags is None:
        raise DataError(f"cost = {name} counts chunks, so it needs task = chunking, whose tokens are tags.")
    return OF_TAGS[name](tags)


def checked(costs: Tensor, mask: Tensor) -> Tensor:
    """The costs, if all unmasked ones are finite.

    Raises:
        DataError: a cost is nan or infinite.
    """
    bad = mask & ~costs.isfinite()
    if bool(bad.any()):
        place = tuple(bad.nonzero()[0].tolist())
        raise DataError(
            f"the cost at {place} is {float(costs[place])}; costs must be finite numbers: check the cost function."
        )
    return costs
