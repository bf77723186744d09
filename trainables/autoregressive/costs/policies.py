"""Reference policies: how the ground truth would complete a prefix, and what that costs, without a model.

`complete` finishes prefixes; `reference_costs` says what every tried token costs when the reference policy goes on
after it, in closed form where one is known, else by scoring the completion.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from trainables.autoregressive.costs.sequence_costs import COSTS, Cost, build_cost
from trainables.autoregressive.sequences.chunks import OUTSIDE, Tags, starts_and_ends
from trainables.autoregressive.sequences.references import References

_SUFFIX_ROWS = 16384  # hypotheses that best-suffix scores at once


class Policy(Protocol):
    """How the ground truth goes on after a prefix."""

    def __call__(self, prefix: Tensor, length: Tensor, refs: References, sentence: Tensor) -> Tensor:
        """Finished sequences (R, W + W_ref), EOS at the end.

        Args:
            prefix: (R, W) tokens, none of the first `length` (R,) is EOS.
            sentence: (R,) whose ground truth completes them.
        """
        ...


def _appended(prefix: Tensor, length: Tensor, refs: References, sentence: Tensor, start: Tensor) -> Tensor:
    """Each prefix and then its reference from place `start` (R,) on."""
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
    """The suffix of the ground truth that scores best: after a missing or an extra word it finds the way back."""

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
    """Go on with the chunk that the prefix has open as long as the ground truth is inside one, then copy."""

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


def build_policy(name: str, tags: Tags | None = None) -> Policy:
    """A policy by name."""
    if name.startswith("best-suffix-"):
        return BestSuffix(COSTS[name.removeprefix("best-suffix-")])
    if name == "max-f1":
        if tags is None:
            raise KeyError("max-f1 needs the meaning of the tags")
        return MaxF1(tags)
    known: dict[str, Policy] = {"copy": copy, "edit-optimal": edit_optimal, "align-order": align_order}
    return known[name]


@dataclass(frozen=True)
class Tried:
    """What is tried: N cells of some sentences' prefixes, k tokens each.

    Args:
        prefix: (B, T) the roll-in's tokens; cell t's prefix is the first t of them, none of which is EOS.
        sentence, time: (N,) where the cells are.
        tokens: (N, k) what is tried in each; what stands at masked places is ignored.
        mask: (N, k).
    """

    prefix: Tensor
    sentence: Tensor
    time: Tensor
    tokens: Tensor
    mask: Tensor


def reference_costs(policy: str, cost: str, tried: Tried, refs: References, tags: Tags | None = None) -> Tensor:
    """(N, k) float64: the cost of each token when the reference policy goes on after it."""
    closed = {
        ("copy", "hamming"): _copy_hamming,
        ("copy", "hamming_count"): _copy_hamming_count,
        ("edit-optimal", "edit"): _edit_optimal_edit,
        ("align-order", "kendall"): _align_order_kendall,
    }
    if (policy, cost) in closed:
        return closed[policy, cost](tried, refs)
    return completed_costs(policy, cost, tried, refs, tags)


def completed_costs(policy: str, cost: str, tried: Tried, refs: References, tags: Tags | None = None) -> Tensor:
    """The same by completing every prefix and scoring it; best-suffix by the scores that it has chosen by."""

    cell, column = tried.mask.nonzero(as_tuple=True)
    sentence, time, token = tried.sentence[cell], tried.time[cell], tried.tokens[cell, column]
    prefix = tried.prefix[sentence]
    if prefix.shape[1] <= int(tried.time.max()):
        prefix = torch.nn.functional.pad(prefix, (0, 1), value=refs.eos)
    places = torch.arange(prefix.shape[1], device=prefix.device)
    prefix = prefix.masked_fill(places > time.unsqueeze(1), refs.eos).scatter(1, time.unsqueeze(1), token.unsqueeze(1))
    ended = token == refs.eos
    scored = build_cost(cost, tags)
    values = torch.empty(len(cell), dtype=torch.float64, device=prefix.device)
    values[ended] = scored(prefix[ended], refs, sentence[ended])
    going = ~ended
    if policy == f"best-suffix-{cost}":
        values[going], _ = best_suffix_cost(prefix[going], time[going] + 1, refs, sentence[going], scored)
    else:
        done = build_policy(policy, tags)(prefix[going], time[going] + 1, refs, sentence[going])
        values[going] = scored(done, refs, sentence[going])
    out = torch.zeros(tried.tokens.shape, dtype=torch.float64, device=prefix.device)
    out[cell, column] = values
    return out


def _copy_hamming(tried: Tried, refs: References) -> Tensor:
    return _copy_hamming_count(tried, refs) / (refs.length[tried.sentence] + 1).unsqueeze(1)


def _copy_hamming_count(tried: Tried, refs: References) -> Tensor:
    """Errors of the prefix + 1[a != y_t]; EOS before the end leaves all further places wrong."""
    width = max(tried.prefix.shape[1], refs.tokens.shape[1])
    truth = refs.padded(width)
    prefix = torch.nn.functional.pad(tried.prefix, (0, width - tried.prefix.shape[1]), value=refs.eos)
    length = refs.length[tried.sentence]
    inside = torch.arange(width, device=truth.device) < (refs.length + 1).unsqueeze(1)
    errors = torch.nn.functional.pad(((prefix != truth) & inside).cumsum(1), (1, 0))
    before = errors[tried.sentence, tried.time].unsqueeze(1)
    here = truth[tried.sentence, tried.time.clamp_max(width - 1)].unsqueeze(1) != tried.tokens
    here = here & (tried.time <= length).unsqueeze(1)
    missing = (length - tried.time).clamp_min(0).unsqueeze(1)
    left = torch.where(tried.tokens == refs.eos, missing, here.long())
    return (before + left).double().masked_fill(~tried.mask, 0.0)


def _edit_optimal_edit(tried: Tried, refs: References) -> Tensor:
    """m = min_j r[j] if a is one of {y_{j+1} : r[j] = m}, else m + 1; r[L] for EOS; over L."""
    whole = torch.arange(len(refs), device=refs.tokens.device)
    rows = edit_rows(tried.prefix, refs, whole)[tried.sentence, tried.time]
    least = rows.min(1, keepdim=True).values
    truth = refs.tokens[tried.sentence]
    optimal = torch.zeros(len(rows), refs.eos + 1, dtype=torch.int64, device=rows.device)
    optimal.scatter_reduce_(1, truth, (rows == least).long(), "amax")
    distance = least + 1 - optimal.gather(1, tried.tokens)
    length = refs.length[tried.sentence].unsqueeze(1)
    distance = torch.where(tried.tokens == refs.eos, rows.gather(1, length), distance)
    return (distance.double() / length.clamp_min(1)).masked_fill(~tried.mask, 0.0)


def _align_order_kendall(tried: Tried, refs: References) -> Tensor:
    """Inversions of the prefix with what is left of it, and the remaining tokens that precede a, over n(n - 1)/2."""
    width = refs.tokens.shape[1]
    ranks = refs.place_of_token[torch.arange(len(refs), device=refs.tokens.device).unsqueeze(1), tried.prefix]
    used = torch.zeros(len(refs), width + 1, dtype=torch.int64, device=ranks.device)
    inside = (torch.arange(width + 1, device=ranks.device) < refs.length.unsqueeze(1)).long()
    spent, total = [], torch.zeros(len(refs), dtype=torch.int64, device=ranks.device)
    states = []
    for rank in ranks.unbind(1):
        states.append(used)
        spent.append(total)
        left_before = ((1 - used) * inside).cumsum(1)
        total = total + torch.nn.functional.pad(left_before, (1, 0)).gather(1, rank.unsqueeze(1)).squeeze(1)
        used = used.scatter(1, rank.unsqueeze(1), 1)
    states.append(used)
    spent.append(total)
    used_there = torch.stack(states, 1)[tried.sentence, tried.time]
    before = torch.stack(spent, 1)[tried.sentence, tried.time]
    left_before = torch.nn.functional.pad(((1 - used_there) * inside[tried.sentence]).cumsum(1), (1, 0))
    place = refs.place_of_token[tried.sentence.unsqueeze(1), tried.tokens]
    extra = left_before.gather(1, place).masked_fill(tried.tokens == refs.eos, 0)
    size = refs.length[tried.sentence].unsqueeze(1).double()
    cost = (before.unsqueeze(1) + extra) / (size * (size - 1) / 2).clamp_min(1)
    return cost.masked_fill(~tried.mask, 0.0)
