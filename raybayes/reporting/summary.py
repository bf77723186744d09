"""The facts of a sweep that a report states besides its trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from raybayes.search.objective import Objective


@dataclass(frozen=True)
class Summary:
    """The facts of one sweep.

    Args:
        name: the sweep's name.
        path: its folder or URI, as users read it.
        project: the name of the research project.
        objectives: what it improves; the first one counts where only one can.
        fidelity: what one report stands for in the project: "epoch", "interval".
        sampler: as requested, e.g. "tpe".
        scheduler: as requested, e.g. "asha:eta=4".
        seed: of the sweep.
        versions: of raybayes, Python and the libraries.
        hardware: of the machine that started it, e.g. {"host": "login1", "cpus": 64}.
        spec: the resolved specification.
        importances: share of each parameter in the variation of the first objective, 0 to 1; None if unknown.
        intervals: bootstrap quantiles of each importance, (low, high).
        tables: names of the tables that trials saved.
        cpus: CPU cores per trial in training.
        gpus: GPUs per trial in training.
        repeats: seeds per configuration.
        bursts: number of periods of work on the sweep.
        best_summary: one or two sentences about the best trial.
    """

    name: str
    path: str
    project: str
    objectives: Sequence[Objective]
    fidelity: str
    sampler: str
    scheduler: str
    seed: int
    versions: Mapping[str, str] = field(default_factory=dict)
    hardware: Mapping[str, Any] = field(default_factory=dict)
    spec: Mapping[str, Any] = field(default_factory=dict)
    importances: Mapping[str, float] | None = None
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    tables: Sequence[str] = ()
    cpus: float = 1.0
    gpus: float = 0.0
    repeats: int = 1
    bursts: int = 1
    best_summary: str = ""
