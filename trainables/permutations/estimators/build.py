"""From a configuration to the family of distributions and the estimator of its gradient."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, assert_never

import torch
from torch import Tensor

from raybayes.contract import require_entries
from raybayes.errors import SpecError
from trainables.permutations.config import Config, EstimatorName, ModelName
from trainables.permutations.distributions.models import (
    GaussianModel,
    MatchingModel,
    Model,
    PlackettLuceModel,
    SinkhornModel,
)
from trainables.permutations.estimators.baselines import Baseline, RunningBaseline
from trainables.permutations.estimators.control_variate import ControlVariate
from trainables.permutations.estimators.critic import Critic
from trainables.permutations.estimators.distinct import UnorderedSet
from trainables.permutations.estimators.elite import CrossEntropy
from trainables.permutations.estimators.estimate import Estimator
from trainables.permutations.estimators.exact import Exact
from trainables.permutations.estimators.pathwise import Relaxation, Sinkhorn
from trainables.permutations.estimators.score_function import ScoreFunction


def build_model(config: Config) -> Model:
    """The family of distributions that the estimator trains."""
    if config.estimator == "sinkhorn":
        return SinkhornModel(config.relaxation.iterations, config.relaxation.noise)
    if config.estimator == "gaussian":
        return GaussianModel(config.relaxation.sigma)
    return MODELS[config.model]()


MODELS: dict[ModelName, Callable[[], Model]] = {"plackett_luce": PlackettLuceModel, "matching": MatchingModel}
require_entries(ModelName, MODELS, "trainables/permutations/estimators/build.py: MODELS")


@dataclass(frozen=True)
class Parts:
    """What estimators are built from.

    Args:
        n: items.
        like: (rows, ...) tensor with the number of rows, dtype and device.
        generator: CPU generator of the critic's first weights.
        momentum, entropy: one number, or (rows, 1) where rows differ.
    """

    config: Config
    model: Model
    n: int
    like: Tensor
    generator: torch.Generator
    momentum: float | Tensor
    entropy: float | Tensor

    def baseline(self, kind: Baseline) -> RunningBaseline:
        return RunningBaseline(kind, self.momentum, self.like.shape[0], self.like)


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
    momentum = config.momentum if momentum is None else momentum
    entropy = config.entropy if entropy is None else entropy
    return BUILDERS[config.estimator](Parts(config, model, n, like, generator, momentum, entropy))


def _exact(parts: Parts) -> Estimator:
    return Exact(parts.n, parts.like.device)


def _score(kind: Baseline, of: Literal["order", "noise"]) -> Callable[[Parts], Estimator]:
    """Costs less a baseline of this kind, times the score of the order or of the noise."""

    def build(parts: Parts) -> Estimator:
        return ScoreFunction(parts.model, parts.baseline(kind), of, parts.config.scale_by_std, parts.entropy)

    return build


def _gaussian(parts: Parts) -> Estimator:
    kind: Baseline = "loo" if parts.config.samples >= 2 else "ema"
    return ScoreFunction(parts.model, parts.baseline(kind), "noise", parts.config.scale_by_std)


def _relaxation(hard: bool) -> Callable[[Parts], Estimator]:
    def build(parts: Parts) -> Estimator:
        values = parts.config.relaxation
        return Relaxation(parts.model, values.sort, values.tau, hard)

    return build


def _sinkhorn(parts: Parts) -> Estimator:
    if not isinstance(parts.model, SinkhornModel):
        raise SpecError(f"estimator = sinkhorn trains a SinkhornModel; found {type(parts.model).__name__}.")
    return Sinkhorn(parts.model, parts.config.relaxation.tau)


def _control_variate(with_critic: bool, centred: bool) -> Callable[[Parts], Estimator]:
    """RELAX (with a critic) or REBAR; plain RELAX keeps the scale of the relaxed cost at 1."""

    def build(parts: Parts) -> Estimator:
        values, like = parts.config.critic, parts.like
        inputs = math.prod(parts.model.shape(parts.n))
        critic = None
        if with_critic and values.width:
            critic = Critic(like.shape[0], inputs, values.width, values.depth, values.activation, like, parts.generator)
        scale_is_fixed = with_critic and not centred
        return ControlVariate(
            parts.model,
            values.relaxation if values.of == "relaxed" else None,
            values.tau,
            1.0 if scale_is_fixed else values.eta,
            critic,
            parts.baseline(values.centring if centred else "none"),
            like,
            learn_tau=values.learn_tau,
            learn_eta=values.learn_eta and not scale_is_fixed,
        )

    return build


BUILDERS: dict[EstimatorName, Callable[[Parts], Estimator]] = {
    "exact": _exact,
    "reinforce": _score("none", "order"),
    "reinforce_ema": _score("ema", "order"),
    "reinforce_best": _score("best", "order"),
    "rloo": _score("loo", "order"),
    "t_reinforce": _score("none", "order"),
    "t_reinforce_plus": _score("loo", "order"),
    "e_reinforce": _score("none", "noise"),
    "e_reinforce_ema": _score("ema", "noise"),
    "e_reinforce_plus": _score("loo", "noise"),
    "unordered": lambda parts: UnorderedSet(parts.config.scale_by_std),
    "cross_entropy": lambda parts: CrossEntropy(parts.model, parts.config.elite),
    "rebar": _control_variate(with_critic=False, centred=False),
    "rebar_centred": _control_variate(with_critic=False, centred=True),
    "relax": _control_variate(with_critic=True, centred=False),
    "relax_centred": _control_variate(with_critic=True, centred=True),
    "relaxation": _relaxation(hard=False),
    "straight_through": _relaxation(hard=True),
    "sinkhorn": _sinkhorn,
    "gaussian": _gaussian,
}
require_entries(EstimatorName, BUILDERS, "trainables/permutations/estimators/build.py: BUILDERS")


def apply_schedules(config: Config, estimator: Estimator, update: int) -> float:
    """Before the update of that number: lower the entropy's weight. Returns the factor of the step size."""
    done = update / config.updates
    if isinstance(estimator, ScoreFunction):
        estimator.share = 1 - done
    match config.lr_decay:
        case "none":
            return 1.0
        case "cosine":
            return 0.5 * (1 + math.cos(math.pi * done))
        case _ as unknown:
            assert_never(unknown)
