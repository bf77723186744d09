"""Every hyperparameter of flows with its range, unit and source (`values`), named sets of them (`presets`), and the
combinations that cannot run (`rules`)."""

from __future__ import annotations

from pydantic import model_validator

from trainables.flows.config.effects import without_effect
from trainables.flows.config.objectives import OBJECTIVES, Objective
from trainables.flows.config.presets import PRESETS, TOYS, PresetName
from trainables.flows.config.rules import model_problem, problem
from trainables.flows.config.shapes import TRUNKS, Shape, data_shape, pixels_of, plan, shrunk, size
from trainables.flows.config.values import (
    HeadKind,
    HeadValues,
    LossValues,
    NetKind,
    OptimiserName,
    ScheduleName,
    TrunkKind,
    TrunkValues,
    Values,
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
    "OBJECTIVES",
    "PRESETS",
    "TOYS",
    "TRUNKS",
    "Config",
    "HeadKind",
    "HeadValues",
    "LossValues",
    "NetKind",
    "Objective",
    "OptimiserName",
    "PresetName",
    "ScheduleName",
    "Shape",
    "TrunkKind",
    "TrunkValues",
    "data_shape",
    "max_steps",
    "model_problem",
    "pixels_of",
    "plan",
    "shrunk",
    "size",
    "without_effect",
]
