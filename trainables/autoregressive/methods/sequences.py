"""Sequence-level training: REINFORCE, self-critical, MIXER, minimum risk. They minimise expected costs of samples.

References:
    Ranzato, Chopra, Auli, Zaremba, "Sequence level training" (MIXER), ICLR 2016, arXiv 1511.06732.
    Rennie et al., "Self-critical sequence training", CVPR 2017, arXiv 1612.00563.
    Shen et al., "Minimum risk training", ACL 2016, arXiv 1512.02433.
"""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.autoregressive.config import cost_of
from trainables.autoregressive.costs.sequence_costs import build_cost
from trainables.autoregressive.methods.step import Outcome, Step
from trainables.autoregressive.rollouts.rollin import greedy, run, sampler
from trainables.autoregressive.sequences.limits import Limits
from trainables.autoregressive.sequences.references import References


def reinforce(step: Step) -> Outcome:
    """(cost - b) log p(y) of samples y; b is a running mean of costs."""
    with step.watch.phase("rollin"):
        samples = _sampled(step, step.config.samples)
    costs = _costs(step, samples)
    baseline = float(costs.mean()) if step.baseline is None else step.baseline
    log_p = _log_p(step, samples).sum(2)
    losses = ((costs - baseline) * log_p).mean(1)
    return Outcome(losses, _rows(step), by_cell=False, cost=float(costs.mean()))


def self_critical(step: Step) -> Outcome:
    """The same with the cost of the greedy sequence as b."""
    batch = step.batch
    with step.watch.phase("rollin"):
        samples = _sampled(step, step.config.samples)
        own = run(step.model, batch.source, batch.limits, greedy)
    costs, baseline = _costs(step, samples), _cost(step, own.tokens, batch.refs)
    losses = ((costs - baseline.unsqueeze(1)) * _log_p(step, samples).sum(2)).mean(1)
    return Outcome(losses, _rows(step), by_cell=False)


def minimum_risk(step: Step) -> Outcome:
    """sum of q_i cost_i over distinct samples, the ground truth and the greedy sequence; q_i ~ p(y_i)^alpha."""
    batch = step.batch
    with step.watch.phase("rollin"):
        samples = _sampled(step, step.config.samples)
        own = run(step.model, batch.source, batch.limits, greedy).tokens
        width = max(samples.shape[2], own.shape[1], batch.refs.tokens.shape[1])
        parts = [_widened(own, width, batch.refs.eos).unsqueeze(1), batch.refs.padded(width).unsqueeze(1),
                 _widened(samples, width, batch.refs.eos)]  # fmt: skip
        tokens = torch.cat(parts, 1)
    same = (tokens.unsqueeze(2) == tokens.unsqueeze(1)).all(3)
    repeated = same.tril(-1).any(2)
    log_p = _log_p(step, tokens).sum(2)
    q = (step.config.sharpness * log_p).masked_fill(repeated, -torch.inf).softmax(1)
    return Outcome((q * _costs(step, tokens)).sum(1), _rows(step), by_cell=False)


def mixer(step: Step) -> Outcome:
    """The first places by cross-entropy, the last by REINFORCE; these grow by `mixer_step` every `mixer_every`."""
    config, batch = step.config, step.batch
    grown = config.mixer_step * (1 + (step.iteration - config.warm_start) // config.mixer_every)
    kept = (batch.refs.length + 1 - grown).clamp_min(0)  # places by cross-entropy
    draw = sampler(step.draws, "sample", step.sentence, torch.zeros_like(step.sentence))

    def choose(place: int, tokens: Tensor, scores: Tensor) -> Tensor:
        truth = batch.refs.padded(place + 1)[:, place]
        return torch.where(place < kept, truth, draw(place, tokens, scores))

    with step.watch.phase("rollin"):
        tokens = run(step.model, batch.source, batch.limits, choose).tokens
    costs = _cost(step, tokens, batch.refs)
    baseline = float(costs.mean()) if step.baseline is None else step.baseline
    log_p = _log_p(step, tokens.unsqueeze(1))[:, 0]
    places = torch.arange(log_p.shape[1], device=log_p.device)
    weight = torch.where(places < kept.unsqueeze(1), -1.0, (costs - baseline).unsqueeze(1))
    losses = (weight * log_p).sum(1) / (batch.refs.length + 1)
    return Outcome(losses, _rows(step), by_cell=False, cost=float(costs.mean()))


def _rows(step: Step) -> Tensor:
    return torch.arange(len(step.batch), device=step.sentence.device)


def _sampled(step: Step, n: int) -> Tensor:
    """(B, n, T) samples of the model."""
    source, picked, sentence, sample = step.repeated(n)
    found = run(step.model, source, picked.limits, sampler(step.draws, "sample", sentence, sample)).tokens
    samples: Tensor = found.unflatten(0, (len(step.batch), n))
    return samples


def _widened(tokens: Tensor, width: int, eos: int) -> Tensor:
    return torch.nn.functional.pad(tokens, (0, width - tokens.shape[-1]), value=eos)


def _cost(step: Step, tokens: Tensor, refs: References) -> Tensor:
    rows = torch.arange(len(tokens), device=tokens.device)
    return build_cost(cost_of(step.config), step.tags)(tokens, refs, rows)


def _costs(step: Step, tokens: Tensor) -> Tensor:
    """(B, n)."""
    sentences, n, _ = tokens.shape
    which = torch.arange(sentences, device=tokens.device).repeat_interleave(n)
    found = build_cost(cost_of(step.config), step.tags)(tokens.flatten(0, 1), step.batch.refs, which)
    return found.reshape(sentences, n)


def _log_p(step: Step, tokens: Tensor) -> Tensor:
    """log p of each token given those before, (B, n, T), 0 after EOS and at places without a choice."""
    fed = torch.nn.functional.pad(tokens[:, :, :-1], (1, 0), value=step.model.bos)
    scores, _ = step.wrapped(step.batch.source, fed)
    return sequence_log_p(scores, tokens, step.batch.limits)


def sequence_log_p(scores: Tensor, tokens: Tensor, limits: Limits) -> Tensor:
    """log p (B, n, T) of tokens (B, n, T) from scores (B, n, T, V), under the rules of their sampling."""
    eos, steps = limits.rules.eos, tokens.shape[2]
    places = torch.arange(steps, device=tokens.device)
    used = None
    if limits.rules.once:
        one_hot = torch.nn.functional.one_hot(tokens, scores.shape[3])
        used = (one_hot.cumsum(2) - one_hot) > 0
    length = limits.length[:, None, None].expand_as(tokens)
    impossible = limits.impossible(scores.shape[3], length, used)
    free = places < limits.free[:, None, None]
    if impossible is not None:
        # A place without a choice keeps its scores, which are not used: no log 0 arises.
        scores = scores.masked_fill(impossible & free.unsqueeze(3), -torch.inf)
    found = scores.log_softmax(3).gather(3, tokens.unsqueeze(3)).squeeze(3)
    before_end = ((tokens == eos).cumsum(2) - (tokens == eos).long()) == 0
    return torch.where(before_end & free, found, 0.0)
