"""Cost-sensitive training: every cell of the roll-in is a classification whose costs come from roll-outs.

References:
    Leblond, Alayrac, Osokin, Lacoste-Julien, "SEARNN", ICLR 2018, arXiv 1706.04499.
    Saparina, Osokin, "Cost-sensitive training for autoregressive models", 2019, arXiv 1912.03771.
    Sabour, Chan, Norouzi, "Optimal completion distillation", ICLR 2019, arXiv 1810.01398 (`optimal_completion`).
"""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.autoregressive.config import LossName, RollInName, cost_of, policy_of
from trainables.autoregressive.costs.policies import build_policy
from trainables.autoregressive.losses import Cells, cell_losses, shifted, target_column, transformed
from trainables.autoregressive.methods.step import Outcome, Step
from trainables.autoregressive.rollouts.cost_vectors import RollOutSettings, cost_vectors, from_reference
from trainables.autoregressive.rollouts.rollin import RollIn, roll_in
from trainables.autoregressive.rollouts.sampling import TokenChoice, choose_cells, choose_tokens
from trainables.autoregressive.sequences.tried import Tried

_SHARPEST = 1e9  # cost scale at which softmax(-T_c c) is uniform over the cheapest tokens


def searnn(step: Step) -> Outcome:
    """Roll in, choose cells and tokens, roll out, score, and compare."""
    config, batch = step.config, step.batch
    with step.watch.phase("rollin"):
        rolled = _rolled(step, config.rollin)
        scores, trace = step.forward(rolled)
    with step.watch.phase("rollout"):
        row, time = choose_cells(rolled, config.cells, batch.limits.rules.fixed, step.draws, step.sentence)
        at_cells = scores[row, time]
        choice = TokenChoice(**config.tokens.model_dump())
        tried = choose_tokens(choice, rolled, row, time, at_cells.detach(), batch.refs, batch.limits, step.draws,
                              step.sentence)  # fmt: skip
        settings = roll_out_settings(step)
        by_reference = from_reference(settings, rolled, step.draws, step.sentence)
        if not bool(by_reference.all()):
            trace = step.without_dropout(rolled, trace)
        found = cost_vectors(step.model, trace, tried, batch.refs, batch.limits, settings, by_reference)
    losses = _losses(step, at_cells, tried, found.costs, config.loss, config.temperature)
    return Outcome(losses, row, rows=found.rows, steps=found.steps)


def optimal_completion(step: Step) -> Outcome:
    """Sampled roll-in; the target is uniform over the next tokens of optimal completions.

    The same as SeaRNN with the optimal reference policy as roll-out, all tokens, and kl with T_c → infinity.
    """
    fixed = step.batch.limits.rules.fixed
    settings = (
        RollOutSettings("reference", "copy", "hamming")
        if fixed
        else RollOutSettings("reference", "edit-optimal", "edit")
    )
    with step.watch.phase("rollin"):
        rolled = _rolled(step, "sampled")
        scores, _ = step.forward(rolled)
    with step.watch.phase("rollout"):
        row, time = choose_cells(rolled, step.config.cells, fixed, step.draws, step.sentence)
        at_cells = scores[row, time]
        tried = choose_tokens(TokenChoice(), rolled, row, time, at_cells.detach(), step.batch.refs, step.batch.limits,
                              step.draws, step.sentence)  # fmt: skip
        everyone = torch.ones_like(rolled.from_reference)
        found = cost_vectors(None, None, tried, step.batch.refs, step.batch.limits, settings, everyone)
    return Outcome(_losses(step, at_cells, tried, found.costs, "kl", _SHARPEST), row)


def roll_out_settings(step: Step) -> RollOutSettings:
    """The settings of roll-outs at this iteration."""
    config = step.config
    method_began = step.iteration - config.warm_start
    return RollOutSettings(
        config.rollout,
        policy_of(config),
        cost_of(config),
        config.rollout_probability,
        config.focus_steps + int(config.focus_growth * method_began),
        config.chunk,
        step.tags,
    )


def _rolled(step: Step, mode: RollInName) -> RollIn:
    batch = step.batch
    policy = build_policy(policy_of(step.config), step.tags) if mode == "mixed-cells" else None
    return roll_in(mode, step.model, batch.source, batch.refs, batch.limits, step.probability, policy, step.draws,
                   step.sentence)  # fmt: skip


def _losses(step: Step, at_cells: Tensor, tried: Tried, costs: Tensor, loss: LossName, scale: float) -> Tensor:
    config = step.config
    moved = transformed(shifted(costs, tried.mask), tried.mask, config.transform)
    noise = config.tie_noise * step.draws.normal(
        "ties", step.sentence[tried.sentence].unsqueeze(1), tried.time.unsqueeze(1), tried.tokens
    )
    cells = Cells(
        at_cells.gather(1, tried.tokens),
        moved.to(at_cells.dtype),
        tried.mask,
        target_column(moved, tried.mask, noise),
        at_cells if loss == "ll-all" else None,
    )
    return cell_losses(loss, cells, scale, config.list_length)
