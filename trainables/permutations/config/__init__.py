"""Every hyperparameter of permutations with its range, unit and source (`values`), what is known of each estimator
(`estimators`), and the combinations that cannot run (`rules`)."""

from __future__ import annotations

from typing import Any

from pydantic import model_validator

from trainables.permutations.config.estimators import ESTIMATORS, EstimatorName, Traits
from trainables.permutations.config.rules import problem
from trainables.permutations.config.starting import started
from trainables.permutations.config.values import (
    CausalScore,
    CausalValues,
    CriticValues,
    ModelName,
    RankingValues,
    RelaxationName,
    RelaxationValues,
    TaskName,
    TourValues,
    ToyValues,
    Values,
    max_steps,
)


class Config(Values):
    """The whole configuration. Raises a validation error where its values cannot run together."""

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, values: Any) -> Any:
        """What a task starts from where nothing else is set; a file as causal's data set means graph = own."""
        return started(values) if isinstance(values, dict) else values

    @model_validator(mode="after")
    def _require_possible(self) -> Config:
        if sentence := problem(self):
            raise ValueError(sentence)
        return self


__all__ = [
    "ESTIMATORS",
    "CausalScore",
    "CausalValues",
    "Config",
    "CriticValues",
    "EstimatorName",
    "ModelName",
    "RankingValues",
    "RelaxationName",
    "RelaxationValues",
    "TaskName",
    "TourValues",
    "ToyValues",
    "Traits",
    "max_steps",
]
