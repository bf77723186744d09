"""The cost of every tried token of every trained cell: the core of learning to search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

import torch
from torch import Tensor

from trainables.autoregressive.config import CostName, PolicyName, RollOutName
from trainables.autoregressive.costs.policies import build_policy
from trainables.autoregressive.costs.reference_costs import reference_costs
from trainables.autoregressive.costs.sequence_costs import build_cost, checked
from trainables.autoregressive.draws import Draws
from trainables.autoregressive.models.decoder import Seq2Seq, Trace
from trainables.autoregressive.rollouts.rollin import RollIn
from trainables.autoregressive.rollouts.rollout import RollOuts, roll_out
from trainables.autoregressive.sequences.chunks import Tags
from trainables.autoregressive.sequences.limits import Limits
from trainables.autoregressive.sequences.references import References, lengths
from trainables.autoregressive.sequences.tried import Tried


@dataclass(frozen=True)
class RollOutSettings:
    """How roll-outs are made and scored.

    Args:
        rollout: "learned" (the model, greedily), "reference" (the reference policy), "mixed" (the reference policy for
            a whole sentence with `probability`), "matched" (mixed, and the reference policy after a ground-truth
            roll-in), "focused" (the model for `steps` steps, then the reference policy).
        reference: name of the reference policy.
        cost: name of the cost.
        chunk: roll-outs in memory at once.
        tags: meaning of the tokens, for chunk F1.
    """

    rollout: RollOutName
    reference: PolicyName
    cost: CostName
    probability: float = 0.5
    steps: int = 0
    chunk: int = 8192
    tags: Tags | None = None


@dataclass(frozen=True)
class CostVectors:
    """The costs of the tried tokens.

    Args:
        tried: index (N, k) and mask (N, k).
        costs: (N, k) float64, 0 at masked places.
        rows: roll-outs by the model.
        steps: model steps in them.
    """

    tried: Tried
    costs: Tensor
    rows: int
    steps: int


def from_reference(settings: RollOutSettings, rolled: RollIn, draws: Draws, sentence: Tensor) -> Tensor:
    """(B,) whose sentences' roll-outs follow the reference policy from the start."""
    match settings.rollout:
        case "learned" | "focused":
            return torch.zeros_like(rolled.from_reference)
        case "reference":
            return torch.ones_like(rolled.from_reference)
        case "mixed":
            return draws.uniform("roll-out", sentence) < settings.probability
        case "matched":
            return (draws.uniform("roll-out", sentence) < settings.probability) | rolled.from_reference
        case _ as unknown:
            assert_never(unknown)


def cost_vectors(
    model: Seq2Seq | None,
    trace: Trace | None,
    tried: Tried,
    refs: References,
    limits: Limits,
    settings: RollOutSettings,
    by_reference: Tensor,
) -> CostVectors:
    """Roll out and score.

    Args:
        model, trace: may be None where no sentence needs the model.
        by_reference: (B,) from `from_reference`.

    Raises:
        DataError: a cell beyond its sentence's cap; a cost that is not finite.
    """
    costs = torch.zeros(tried.tokens.shape, dtype=torch.float64, device=tried.tokens.device)
    known = by_reference[tried.sentence].nonzero().squeeze(1)
    if len(known):
        part = _cells(tried, known)
        costs[known] = reference_costs(settings.reference, settings.cost, part, refs, settings.tags)
    asked = (~by_reference[tried.sentence]).nonzero().squeeze(1)
    rows = spent = 0
    if len(asked):
        if model is None or trace is None:
            raise ValueError("roll-outs by the model need the model and the trace of its roll-in")
        part = _cells(tried, asked)
        steps = settings.steps if settings.rollout == "focused" else None
        found = roll_out(model, trace, part, limits, steps, settings.chunk)
        hyps = _completed(found, part, refs, settings) if steps is not None else found.hyps
        values = build_cost(settings.cost, settings.tags)(hyps, refs, part.sentence[found.cell])
        costs[asked[found.cell], found.column] = values
        rows, spent = len(hyps), found.steps
    return CostVectors(tried, checked(costs, tried.mask), rows, spent)


def _cells(tried: Tried, index: Tensor) -> Tried:
    if len(index) == len(tried.time):
        return tried
    return Tried(tried.prefix, tried.sentence[index], tried.time[index], tried.tokens[index], tried.mask[index])


def _completed(found: RollOuts, tried: Tried, refs: References, settings: RollOutSettings) -> Tensor:
    """The reference policy continues where the model stopped; ended sequences are unchanged."""
    sentence = tried.sentence[found.cell]
    length = lengths(found.hyps, refs.eos)
    ended = length < found.length
    done = build_policy(settings.reference, settings.tags)(found.hyps, length, refs, sentence)
    kept = torch.nn.functional.pad(found.hyps, (0, done.shape[1] - found.hyps.shape[1]), value=refs.eos)
    return torch.where(ended.unsqueeze(1), kept, done)
