"""Reference policies: how the ground truth completes a prefix, without a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from raybayes.contract import require_entries
from raybayes.errors import DataError
from trainables.autoregressive.config import CostName, PolicyName
from trainables.autoregressive.costs.sequence_costs import Cost, build_cost
from trainables.autoregressive.sequences.chunks import OUTSIDE, Tags, starts_and_ends
from trainables.autoregressive.sequences.references import References

_SUFFIX_ROWS = 16384  # hypotheses that best-suffix scores at once


class Policy(Protocol):
    """How the ground truth completes a prefix."""

    def __call__(self, prefix: Tensor, length: Tensor, refs: References, sentence: Tensor) -> Tensor:
        """Finished sequences (R, W + W_ref), EOS at the end.

        Args:
            prefix: (R, W) tokens, none of the first `length` (R,) is EOS.
            sentence: (R,) whose ground truth completes them.
        """
        ...


def _appended(prefix: Tensor, length: Tensor, refs: References, sentence: Tensor, start: Tensor) -> Tensor:
    """Each prefix, followed by its reference from place `start` (R,) on."""
    width = prefix.shape[1] + refs.tokens.shape[1]
    places = torch.arange(width, device=prefix.device)
    behind = places - length.unsqueeze(1)
    source = (start.unsqueeze(1) + behind).clamp(0, refs.tokens.shape[1] - 1)
    suffix = refs.tokens[sentence.unsqueeze(1), source]
    padded = torch.nn.functional.pad(prefix, (0, refs.tokens.shape[1]), value=refs.eos)
    return torch.where(behind < 0, padded, suffix)


def copy(prefix: Tensor, length: Tensor, refs: References, sentence: Tensor) -> Tensor:
    """y_{t+1..L} by position; optimal for the Hamming cost."""
    return _appended(prefix, length, refs, sentence, length)


def best_suffix_cost(
    prefix: Tensor, length: Tensor, refs: References, sentence: Tensor, cost: Cost
) -> tuple[Tensor, Tensor]:
    """Lowest cost of prefix + y_{j..L} over j = 0 .. L, and the largest such j: the shortest suffix wins a tie.

    The best completion among suffixes, not among all completions.
    """
    width = refs.tokens.shape[1]
    lowest = torch.empty(len(prefix), dtype=torch.float64, device=prefix.device)
    chosen = torch.empty(len(prefix), dtype=torch.int64, device=prefix.device)
    starts = torch.arange(width, device=prefix.device)
    for rows in torch.arange(len(prefix), device=prefix.device).split(max(1, _SUFFIX_ROWS // width)):
        start = starts.repeat(len(rows))
        whose = sentence[rows].repeat_interleave(width)
        tried = _appended(
            prefix[rows].repeat_interleave(width, 0), length[rows].repeat_interleave(width), refs, whose, start
        )
        found = cost(tried, refs, whose).reshape(len(rows), width)
        found = found.masked_fill(starts > refs.length[sentence[rows]].unsqueeze(1), torch.inf)
        lowest[rows] = found.min(1).values
        chosen[rows] = torch.where(found == lowest[rows].unsqueeze(1), starts, -1).max(1).values
    return lowest, chosen


@dataclass(frozen=True)
class BestSuffix:
    """The suffix of the ground truth that scores best, which realigns after a missing or an extra word."""

    cost: Cost

    def __call__(self, prefix: Tensor, length: Tensor, refs: References, sentence: Tensor) -> Tensor:
        _, start = best_suffix_cost(prefix, length, refs, sentence, self.cost)
        return _appended(prefix, length, refs, sentence, start)


def first_edit_row(refs: References) -> Tensor:
    """Levenshtein distances (B, W) of the empty prefix to every prefix y_{0..j}; huge beyond the reference's end."""
    places = torch.arange(refs.tokens.shape[1], device=refs.tokens.device)
    return places.expand(len(refs), -1).masked_fill(places > refs.length.unsqueeze(1), 1 << 20)


def next_edit_row(row: Tensor, tokens: Tensor, truth: Tensor) -> Tensor:
    """The distances (R, W) after one more token (R,).

    Args:
        row: before it.
        truth: (R, W) the references' tokens.
    """
    places = torch.arange(row.shape[1], device=row.device)
    kept = row[:, :-1] + (truth[:, :-1] != tokens.unsqueeze(1))
    best = torch.cat([row[:, :1] + 1, torch.minimum(row[:, 1:] + 1, kept)], 1)
    return (best - places).cummin(1).values + places


def edit_rows(prefix: Tensor, refs: References, sentence: Tensor) -> Tensor:
    """(R, T + 1, W): the distances after each of the tokens of prefix (R, T)."""
    truth = refs.tokens[sentence]
    beyond = torch.arange(truth.shape[1], device=truth.device) > refs.length[sentence].unsqueeze(1)
    rows = [first_edit_row(refs)[sentence]]
    for tokens in prefix.unbind(1):
        rows.append(next_edit_row(rows[-1], tokens, truth).masked_fill(beyond, 1 << 20))
    return torch.stack(rows, 1)


def edit_optimal(prefix: Tensor, length: Tensor, refs: References, sentence: Tensor) -> Tensor:
    """The suffix y_{j..L} with the smallest edit distance of the prefix to y_{0..j}; optimal for the edit distance.

    References:
        Sabour, Chan, Norouzi, "Optimal completion distillation", ICLR 2019, arXiv 1810.01398.
    """
    rows = edit_rows(prefix, refs, sentence)[torch.arange(len(prefix), device=prefix.device), length]
    places = torch.arange(rows.shape[1], device=rows.device)
    start = torch.where(rows == rows.min(1, keepdim=True).values, places, -1).max(1).values
    return _appended(prefix, length, refs, sentence, start)


def align_order(prefix: Tensor, length: Tensor, refs: References, sentence: Tensor) -> Tensor:
    """The remaining tokens of the ground truth, each once, in its order; optimal for Kendall's tau."""
    truth, width = refs.tokens[sentence], refs.tokens.shape[1]
    used = _used_places(prefix, length, refs, sentence)
    places = torch.arange(width, device=prefix.device)
    left = ~used & (places < refs.length[sentence].unsqueeze(1))
    goal = length.unsqueeze(1) + left.cumsum(1) - 1
    total = prefix.shape[1] + width
    column = torch.arange(prefix.shape[1], device=prefix.device)
    kept = prefix.masked_fill(column >= length.unsqueeze(1), refs.eos)
    out = torch.nn.functional.pad(kept, (0, width + 1), value=refs.eos)
    return out.scatter(1, torch.where(left, goal, total), torch.where(left, truth, refs.eos))[:, :total]


def _used_places(prefix: Tensor, length: Tensor, refs: References, sentence: Tensor) -> Tensor:
    """(R, W) bool: which places of the reference the prefix has used."""
    width = refs.tokens.shape[1]
    column = torch.arange(prefix.shape[1], device=prefix.device)
    places = refs.place_of_token[sentence.unsqueeze(1), prefix].masked_fill(column >= length.unsqueeze(1), width)
    used = torch.zeros(len(prefix), width + 1, dtype=torch.bool, device=prefix.device)
    return used.scatter(1, places, True)[:, :width]


@dataclass(frozen=True)
class MaxF1:
    """Continue the prefix's open chunk while the ground truth is inside a chunk, then copy."""

    tags: Tags

    def __call__(self, prefix: Tensor, length: Tensor, refs: References, sentence: Tensor) -> Tensor:
        copied = copy(prefix, length, refs, sentence)
        last = prefix.gather(1, (length - 1).clamp_min(0).unsqueeze(1)).squeeze(1)
        open_chunk = (length > 0) & (self.tags.kind[last] != OUTSIDE)
        start, _ = starts_and_ends(refs.padded(copied.shape[1]), self.tags)
        places = torch.arange(copied.shape[1], device=prefix.device)
        behind = places >= length.unsqueeze(1)
        outside = self.tags.kind[refs.padded(copied.shape[1])] == OUTSIDE
        left = ((start | outside)[sentence] & behind).cumsum(1) > 0
        goes_on = behind & ~left & open_chunk.unsqueeze(1)
        return torch.where(goes_on, self.tags.inside[last].unsqueeze(1), copied)


def _best_suffix(cost: CostName) -> Callable[[Tags | None], Policy]:
    def build(tags: Tags | None) -> Policy:
        return BestSuffix(build_cost(cost, tags))

    return build


def _max_f1(tags: Tags | None) -> Policy:
    if tags is None:
        raise DataError("reference = max-f1 counts chunks, so it needs task = chunking, whose tokens are tags.")
    return MaxF1(tags)


POLICIES: dict[PolicyName, Callable[[Tags | None], Policy]] = {
    "copy": lambda tags: copy,
    "best-suffix-bleu": _best_suffix("bleu"),
    "best-suffix-bleu1": _best_suffix("bleu1"),
    "best-suffix-gleu": _best_suffix("gleu"),
    "max-f1": _max_f1,
    "edit-optimal": lambda tags: edit_optimal,
    "align-order": lambda tags: align_order,
}
require_entries(PolicyName, POLICIES, "trainables/autoregressive/costs/policies.py: POLICIES")


def build_policy(name: PolicyName, tags: Tags | None = None) -> Policy:
    """A policy by name; max-f1 needs the meaning of the tags.

    Raises:
        DataError: max-f1 without tags.
    """
    return POLICIES[name](tags)
