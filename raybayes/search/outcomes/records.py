"""One trial of a study as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from raybayes.search.outcomes.cause import Cause, find_cause
from raybayes.search.outcomes.outcome import State
from raybayes.space import Value


@dataclass(frozen=True)
class TrialRecord:
    """One trial of a study.

    Args:
        values: one per objective, of a complete trial only.
        curve: first objective by step.
        notes: what the engine stored with it: attempts, seconds, error, standard errors, ...
        started, ended: Unix times.
        missed: by how much each constraint is missed; <= 0 where it holds.
    """

    number: int
    state: State
    params: dict[str, Value]
    values: tuple[float, ...] | None
    curve: dict[int, float]
    notes: dict[str, Any] = field(default_factory=dict)
    started: float | None = None
    ended: float | None = None
    feasible: bool = True
    missed: dict[str, float] = field(default_factory=dict)

    @property
    def cause(self) -> Cause | None:
        """Why it failed; None if it did not. Of a sweep that did not store it, from the error."""
        if self.state is not State.FAIL:
            return None
        stored = self.notes.get("cause")
        return Cause(stored) if stored is not None else find_cause(str(self.notes.get("error", "")))
