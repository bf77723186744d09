"""Estimators of the gradient, one kind a file; `build` makes the one that a configuration names."""

from trainables.permutations.estimators.baselines import RunningBaseline
from trainables.permutations.estimators.build import BUILDERS, build_estimator, build_model
from trainables.permutations.estimators.control_variate import ControlVariate
from trainables.permutations.estimators.estimate import Estimate, Estimator
from trainables.permutations.estimators.exact import Exact
from trainables.permutations.estimators.pathwise import Relaxation, Sinkhorn
from trainables.permutations.estimators.score_function import ScoreFunction

__all__ = [
    "BUILDERS",
    "ControlVariate",
    "Estimate",
    "Estimator",
    "Exact",
    "Relaxation",
    "RunningBaseline",
    "ScoreFunction",
    "Sinkhorn",
    "build_estimator",
    "build_model",
]
