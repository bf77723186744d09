"""Every hyperparameter of autoregressive with its range, unit and source (`values`), and the combinations that cannot
run (`rules`)."""

from __future__ import annotations

from pydantic import model_validator

from trainables.autoregressive.config.rules import COSTS_OF, FITTING, cost_of, dataset_of, policy_of, problem
from trainables.autoregressive.config.values import (
    CostName,
    LossName,
    Method,
    ModelKind,
    OcrValues,
    OrderingValues,
    PolicyName,
    RollInName,
    RollOutName,
    ScheduleName,
    SpellingValues,
    TaskName,
    TokenMode,
    Transform,
    TranslationValues,
    Values,
    grace_period,
    max_steps,
)


class Config(Values):
    """The whole configuration. Raises a validation error where its values cannot run together."""

    @model_validator(mode="after")
    def _require_possible(self) -> Config:
        if sentence := problem(self):
            raise ValueError(sentence)
        return self


__all__ = [
    "COSTS_OF",
    "FITTING",
    "Config",
    "CostName",
    "LossName",
    "Method",
    "ModelKind",
    "OcrValues",
    "OrderingValues",
    "PolicyName",
    "RollInName",
    "RollOutName",
    "ScheduleName",
    "SpellingValues",
    "TaskName",
    "TokenMode",
    "Transform",
    "TranslationValues",
    "cost_of",
    "dataset_of",
    "grace_period",
    "max_steps",
    "policy_of",
]
