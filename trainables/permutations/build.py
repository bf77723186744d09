"""From configuration values to a distribution and an estimator of its gradient."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from trainables.permutations.config.values import CONTROL_VARIATES, Config
from trainables.permutations.critic import Critic
from trainables.permutations.estimators import (
    Baseline,
    ControlVariate,
    Estimator,
    Exact,
    Relaxation,
    RunningBaseline,
    ScoreFunction,
    Sinkhorn,
)
from trainables.permutations.models import GaussianModel, MatchingModel, Model, PlackettLuceModel, SinkhornModel

# baseline and whose score, of each estimator that multiplies the cost with a score
_SCORES: dict[str, tuple[Baseline, str]] = {
    "reinforce": ("none", "order"),
    "reinforce_ema": ("ema", "order"),
    "reinforce_best": ("best", "order"),
    "rloo": ("loo", "order"),
    "t_reinforce": ("none", "order"),
    "t_reinforce_plus": ("loo", "order"),
    "e_reinforce": ("none", "noise"),
    "e_reinforce_ema": ("ema", "noise"),
    "e_reinforce_plus": ("loo", "noise"),
}


def build_model(config: Config) -> Model:
    """The family of distributions that the estimator trains."""
    if config.estimator == "sinkhorn":
        return SinkhornModel(config.relaxation.iterations, config.relaxation.noise)
    if config.estimator == "gaussian":
        return GaussianModel(config.relaxation.sigma)
    return MatchingModel() if config.model == "matching" else PlackettLuceModel()


def build_estimator(
    config: Config,
    model: Model,
    n: int,
    like: Tensor,
    generator: torch.Generator,
    momentum: float | Tensor | None = None,
    entropy: float | Tensor | None = None,
) -> Estimator:
    """The estimator.

    Args:
        like: (rows, ...) tensor with the number of rows, dtype and device.
        generator: CPU generator of the critic's first weights.
        momentum, entropy: (rows, 1) where rows differ; None: the configuration's.
    """
    rows, values = like.shape[0], config.relaxation
    momentum = config.momentum if momentum is None else momentum
    entropy = config.entropy if entropy is None else entropy
    if config.estimator in CONTROL_VARIATES:
        return _control_variate(config, model, n, like, generator, momentum)
    if config.estimator == "exact":
        return Exact(n, like.device)
    if isinstance(model, SinkhornModel):
        return Sinkhorn(model, values.tau)
    if config.estimator in ("relaxation", "straight_through"):
        return Relaxation(model, values.sort, values.tau, config.estimator == "straight_through")
    if config.estimator == "gaussian":
        kind: Baseline = "loo" if config.samples >= 2 else "ema"
        return ScoreFunction(model, RunningBaseline(kind, momentum, rows, like), "noise", config.scale_by_std)
    kind, of = _SCORES[config.estimator]
    return ScoreFunction(
        model,
        RunningBaseline(kind, momentum, rows, like),
        "order" if of == "order" else "noise",
        config.scale_by_std,
        entropy,
    )


def _control_variate(
    config: Config, model: Model, n: int, like: Tensor, generator: torch.Generator, momentum: float | Tensor
) -> ControlVariate:
    values, rows = config.critic, like.shape[0]
    name, centred = config.estimator.removesuffix("_centred"), config.estimator.endswith("_centred")
    inputs = torch.Size(model.shape(n)).numel()
    critic = None
    if name == "relax" and values.width:
        critic = Critic(rows, inputs, values.width, values.depth, values.activation, like, generator)
    plain_relax = name == "relax" and not centred
    centring = RunningBaseline(values.centring if centred else "none", momentum, rows, like)
    return ControlVariate(
        model,
        values.relaxation if values.of == "relaxed" else None,
        values.tau,
        1.0 if plain_relax else values.eta,
        critic,
        centring,
        like,
        learn_tau=values.learn_tau,
        learn_eta=values.learn_eta and not plain_relax,
    )


def course(config: Config, estimator: Estimator, update: int) -> float:
    """Before the update of that number: let the entropy's weight fall; returns the factor of the step size."""
    done = update / config.updates
    if isinstance(estimator, ScoreFunction):
        estimator.share = 1 - done
    return 1.0 if config.lr_decay == "none" else 0.5 * (1 + math.cos(math.pi * done))
