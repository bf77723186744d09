"""Clipped n-gram matches of many hypotheses with few references, as exact integers.

The places of a hypothesis at which a reference token occurs are the bits of one integer. An n-gram of the reference
then occurs at the bits of an AND of n shifted integers, and a population count says how often: no n-gram is hashed.
"""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.autoregressive.sequences.references import References

ORDER = 4
WORD = 62  # bits used of an int64, which keeps every shift and sum non-negative


def _count_bits(x: Tensor) -> Tensor:
    x = x - ((x >> 1) & 0x5555555555555555)
    x = (x & 0x3333333333333333) + ((x >> 2) & 0x3333333333333333)
    x = (x + (x >> 4)) & 0x0F0F0F0F0F0F0F0F
    return (x * 0x0101010101010101) >> 56


def clipped_matches(hyps: Tensor, length: Tensor, refs: References, sentence: Tensor, order: int = ORDER) -> Tensor:
    """m_n = sum over distinct n-grams of min(count in the hypothesis, count in the reference), (R, order) int64.

    Args:
        hyps: (R, W) tokens.
        length: (R,) how many of them count.
        sentence: (R,) which reference each one is compared with.
    """
    width = refs.tokens.shape[1]
    places = torch.arange(hyps.shape[1], device=hyps.device)
    local = refs.place_of_token[sentence.unsqueeze(1), hyps].masked_fill(places >= length.unsqueeze(1), width)
    # One integer holds WORD places; a longer hypothesis takes several, which overlap by order - 1 places.
    step = WORD - (order - 1)
    last = max(hyps.shape[1] - (order - 1), 1)
    parts = [
        _occurrences(local[:, start : start + WORD], refs, sentence, order, step if start + step < last else WORD)
        for start in range(0, last, step)
    ]
    found = [sum(each[1:], each[0]) for each in zip(*parts, strict=True)]
    counts = [torch.minimum(here, refs.grams[n][sentence]).sum(1) for n, here in enumerate(found)]
    return torch.stack(counts, 1)


def _occurrences(local: Tensor, refs: References, sentence: Tensor, order: int, starts: int) -> list[Tensor]:
    """For each n, how often each reference place's n-gram starts within the first `starts` places, (R, W_ref) each."""
    width = refs.tokens.shape[1]
    bits = (1 << torch.arange(local.shape[1], device=local.device)).expand_as(local)
    masks = torch.zeros(len(local), width + 1, dtype=torch.int64, device=local.device).scatter_add_(1, local, bits)
    masks[:, width] = 0
    first = masks.gather(1, refs.first_place[sentence])
    now, found = first, []
    for n in range(order):
        if n:
            now = now.clone()
            now[:, : width - n] &= first[:, n:] >> n
            now[:, width - n :] = 0
        found.append(_count_bits(now & ((1 << starts) - 1)))
    return found
