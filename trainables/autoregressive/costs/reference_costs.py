"""What every tried token costs when the reference policy completes the sequence after it: in closed form where one is
known, else by scoring the completion."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from trainables.autoregressive.config import CostName, PolicyName
from trainables.autoregressive.costs.policies import best_suffix_cost, build_policy, edit_rows
from trainables.autoregressive.costs.sequence_costs import build_cost
from trainables.autoregressive.sequences.chunks import Tags
from trainables.autoregressive.sequences.references import References
from trainables.autoregressive.sequences.tried import Tried


def reference_costs(
    policy: PolicyName, cost: CostName, tried: Tried, refs: References, tags: Tags | None = None
) -> Tensor:
    """(N, k) float64: the cost of each token when the reference policy completes the sequence after it."""
    if (policy, cost) in CLOSED_FORMS:
        return CLOSED_FORMS[policy, cost](tried, refs)
    return completed_costs(policy, cost, tried, refs, tags)


def completed_costs(
    policy: PolicyName, cost: CostName, tried: Tried, refs: References, tags: Tags | None = None
) -> Tensor:
    """The same by completing and scoring every prefix; best-suffix reuses the scores of its choice."""
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


CLOSED_FORMS: dict[tuple[PolicyName, CostName], Callable[[Tried, References], Tensor]] = {
    ("copy", "hamming"): _copy_hamming,
    ("copy", "hamming_count"): _copy_hamming_count,
    ("edit-optimal", "edit"): _edit_optimal_edit,
    ("align-order", "kendall"): _align_order_kendall,
}
