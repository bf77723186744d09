"""What a worker uses of a run, whether the run trains here or is replayed from the cache."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from raybayes.contract import State
from trainables.ensembles.run.plan import Plan

Predictions = dict[str, Tensor]  # split -> (n, classes) float32 log-probabilities on the CPU


class TrainingRun(Protocol):
    """What a worker uses of a run, whether it is trained here or replayed from the cache."""

    @property
    def index(self) -> int: ...
    @property
    def plan(self) -> Plan: ...
    @property
    def seconds(self) -> float: ...
    def advance(self, step: int) -> list[Predictions]: ...
    def current(self, split: str) -> Tensor: ...
    def state(self) -> State: ...
    def load(self, state: State) -> None: ...
