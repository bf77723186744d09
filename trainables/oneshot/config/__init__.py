"""The configuration of a run: every hyperparameter with its range, unit and source, and the rules between them."""

from __future__ import annotations

from pydantic import model_validator

from trainables.oneshot.config.rules import problem
from trainables.oneshot.config.values import (
    ClassViews,
    DataSetName,
    FileFormat,
    FileValues,
    InferenceValues,
    JudgedClasses,
    OptimiserName,
    Preset,
    Values,
    max_steps,
)


class Config(Values):
    """The configuration of one run.

    Raises:
        pydantic.ValidationError: a value is out of range, a name is unknown, or the combination cannot run.
    """

    @model_validator(mode="after")
    def _follows_the_rules(self) -> Config:
        if sentence := problem(self):
            raise ValueError(sentence)
        return self


__all__ = [
    "ClassViews",
    "Config",
    "DataSetName",
    "FileFormat",
    "FileValues",
    "InferenceValues",
    "JudgedClasses",
    "OptimiserName",
    "Preset",
    "Values",
    "max_steps",
]
