"""The configuration of a run: every hyperparameter with its range, unit and source, and the rules between them."""

from __future__ import annotations

from pydantic import model_validator

from trainables.ensembles.config.rules import problem
from trainables.ensembles.config.values import (
    Architecture,
    BatchEnsembleValues,
    DataSetName,
    Foreign,
    LaplaceStructure,
    Method,
    Schedule,
    Values,
)


class Config(Values):
    """The configuration of one run: data, method, architecture, training, and one group of values per method.

    Raises:
        pydantic.ValidationError: a value is out of range, a name is unknown, or the combination cannot run.
    """

    @model_validator(mode="after")
    def _follows_the_rules(self) -> Config:
        if sentence := problem(self):
            raise ValueError(sentence)
        return self


__all__ = [
    "Architecture",
    "BatchEnsembleValues",
    "Config",
    "DataSetName",
    "Foreign",
    "LaplaceStructure",
    "Method",
    "Schedule",
    "Values",
]
