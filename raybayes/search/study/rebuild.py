"""The trials of a damaged study, from what its journal still says, its tables, its reports and its checkpoints.

A trial that the journal knows to have ended is taken from there; else from the table of trials; else it is unfinished,
and the next burst resumes it. A trial whose configuration nobody knows keeps its number and does not count.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from optuna.trial import FrozenTrial, TrialState, create_trial

from raybayes.search.objective import Objective
from raybayes.search.outcomes.outcome import State, measure_violations
from raybayes.search.study.transfer_study import to_distribution
from raybayes.search.study.trials_table import column_values
from raybayes.space import Space, Value
from raybayes.space.values import as_key

_STATES = {"COMPLETE": TrialState.COMPLETE, "PRUNED": TrialState.PRUNED, "FAIL": TrialState.FAIL}
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Remains:
    """Everything that is known of the trials of a sweep.

    Args:
        journal: what the journal still says, by number.
        rows: of the table of trials, by number.
        reports: the reports of each trial, in order.
        configs: searched parameters that checkpoints were written with, by trial.
    """

    journal: Mapping[int, FrozenTrial] = field(default_factory=dict)
    rows: Mapping[int, Row] = field(default_factory=dict)
    reports: Mapping[int, Sequence[Row]] = field(default_factory=dict)
    configs: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """One more than the highest number that anything names."""
        return 1 + max((*self.journal, *self.rows, *self.reports, *self.configs), default=-1)

    def ahead(self) -> list[int]:
        """Trials of which the tables know more than the journal: it lacks them, or has not seen them end."""
        return trials_ahead({n: t.state.is_finished() for n, t in self.journal.items()}, self.rows, self.reports)


def trials_ahead(journal: Mapping[int, bool], rows: Mapping[int, Row], reported: Iterable[int]) -> list[int]:
    """Trials that the journal lacks, or has not seen end, although the tables have.

    Args:
        journal: whether each trial that it knows has ended.
        rows: of the table of trials.
        reported: numbers of the trials that have reports.
    """
    late = {n for n, row in rows.items() if State(row["state"]).final and not journal.get(n, False)}
    return sorted(late | ({*rows, *reported} - {*journal}))


@dataclass(frozen=True)
class Rebuilt:
    """The trials of a study, by number without gaps, and a sentence for each thing that could not be saved."""

    trials: Sequence[FrozenTrial]
    lost: tuple[str, ...] = ()


class TrialBuilder:
    """Rebuilds the trials of one sweep.

    Args:
        remains: what is known of them.
        space: the searched parameters.
        objectives: the metrics to improve.
        constraints: bounds on metrics, as in the spec.
        repeats: seeds of each trial.
    """

    def __init__(
        self,
        remains: Remains,
        space: Space,
        objectives: Sequence[Objective],
        constraints: Mapping[str, str],
        repeats: int = 1,
    ) -> None:
        self._remains, self._space, self._objectives = remains, space, objectives
        self._constraints, self._repeats = constraints, repeats
        self._lost: list[str] = []

    def rebuild(self) -> Rebuilt:
        """All trials."""
        trials = [self._trial(number) for number in range(self._remains.count)]
        return Rebuilt(trials, tuple(self._lost))

    def _trial(self, number: int) -> FrozenTrial:
        known, row = self._remains.journal.get(number), self._remains.rows.get(number)
        params = self._params(number, known, row)
        if known is not None and known.user_attrs.get("void"):
            return _void(known)
        if params is None:
            reports = len(self._remains.reports.get(number, ()))
            kept = f"; its {reports} reports stay" if reports else ""
            self._lost.append(f"trial {number}: its configuration, so it does not count{kept}")
            return _void(known)
        if known is not None and known.state.is_finished():
            return self._made(number, known, row, params, known.state, known.values)
        if row is not None and State(row["state"]).final:
            values = [row[objective.name] for objective in self._objectives]
            state = _STATES[row["state"]]
            if state is not TrialState.COMPLETE or None not in values:
                return self._made(number, known, row, params, state, values)
        self._note_lost_repeats(number, known)
        return self._made(number, known, row, params, TrialState.WAITING, None)

    def _note_lost_repeats(self, number: int, known: FrozenTrial | None) -> None:
        if self._repeats > 1 and (known is None or "done" not in known.user_attrs):
            self._lost.append(f"trial {number}: which of its repeats had finished; they are trained again")

    def _params(self, number: int, known: FrozenTrial | None, row: Row | None) -> dict[str, Value] | None:
        """The first complete configuration that the journal, the table or a checkpoint has."""
        stored = dict(known.params) if known is not None else {}
        tabled = column_values(row, self._space) if row is not None else {}
        saved = {name: value for name, value in self._remains.configs.get(number, {}).items() if name in self._space}
        for found in (stored, {**tabled, **stored}, {**saved, **tabled, **stored}):
            if self._space.outside(found) is None:
                active = self._space.active(found)
                return {name: found[name] for name in active}
        return None

    def _made(
        self,
        number: int,
        known: FrozenTrial | None,
        row: Row | None,
        params: Mapping[str, Value],
        state: TrialState,
        values: Sequence[float] | None,
    ) -> FrozenTrial:
        reports = self._remains.reports.get(number, ())
        notes = {**notes_of(row, reports, self._objectives), **(known.user_attrs if known is not None else {})}
        trial = create_trial(
            params={name: as_key(value) for name, value in params.items()},
            distributions={name: to_distribution(self._space[name]) for name in params},
            state=TrialState.WAITING,
            user_attrs=notes,
            system_attrs=dict(known.system_attrs) if known is not None else {},
            intermediate_values={**self._curve(reports), **(known.intermediate_values if known is not None else {})},
        )
        trial.state = state
        trial.values = _values(trial, state, values)
        trial.datetime_start, trial.datetime_complete = _times(known, row, reports, state)
        if state is TrialState.COMPLETE and not trial.constraints:
            for name, distance in self._violations(row, reports).items():
                trial.set_constraint(name, distance)
        return trial

    def _curve(self, reports: Sequence[Row]) -> dict[int, float]:
        """The first objective of the first repeat by step, of a study that keeps curves."""
        if len(self._objectives) > 1:
            return {}
        name = self._objectives[0].name
        points = {row["step"]: row.get(name) for row in reports if row["repeat"] == 0}
        return {step: value for step, value in points.items() if value is not None and math.isfinite(value)}

    def _violations(self, row: Row | None, reports: Sequence[Row]) -> dict[str, float]:
        """By how much each constraint is missed: by the reports, or, without any, as the table says."""
        if reports:
            return measure_violations(self._constraints, last_means(reports))
        if row is not None and row.get("feasible", True):
            return {}
        return measure_violations(self._constraints, {})


def _values(trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> list[float] | None:
    """As Optuna keeps them: of a complete trial its objectives, of a pruned one the last point of its curve."""
    if state is TrialState.PRUNED and trial.intermediate_values:
        return [trial.intermediate_values[max(trial.intermediate_values)]]
    return list(values) if values is not None and state is TrialState.COMPLETE else None


def _void(known: FrozenTrial | None) -> FrozenTrial:
    """A trial that keeps a number and does not count."""
    trial = create_trial(state=TrialState.FAIL, user_attrs={"void": True})
    if known is not None and known.datetime_start is not None:
        trial.datetime_start = known.datetime_start
    return trial


def notes_of(row: Row | None, reports: Sequence[Row], objectives: Sequence[Objective]) -> dict[str, Any]:
    """What the engine had stored with a trial, as far as its row and its reports tell."""
    notes: dict[str, Any] = {}
    tries: dict[str, int] = {}
    spent: dict[str, float] = {}
    for report in reports:
        repeat = str(report["repeat"])
        tries[repeat] = max(tries.get(repeat, 0), report["attempt"])
        spent[repeat] = report["seconds"]
        notes["node"] = report["node"]
    if row is not None:
        errors = {o.name: row[f"{o.name}.se"] for o in objectives if row.get(f"{o.name}.se") is not None}
        named = {
            "steps": "steps",
            "seconds": "seconds",
            "n": "n",
            "node": "node",
            "failure": "error",
            "started": "began",
        }
        notes |= {note: row[column] for column, note in named.items() if row.get(column) is not None}
        notes |= {"se": errors} if errors else {}
        missing = (row.get("attempts") or 0) - sum(tries.values())
        if missing > 0:  # of attempts that made no report
            tries["0"] = tries.get("0", 0) + missing
    return {**notes, **({"tries": tries} if tries else {}), **({"spent": spent} if spent else {})}


def last_means(reports: Sequence[Row]) -> dict[str, float]:
    """The last value of each metric in each repeat, as means over the repeats."""
    last: dict[int, dict[str, float]] = {}
    for row in reports:
        values = {name: value for name, value in row.items() if isinstance(value, float) and value is not None}
        last.setdefault(row["repeat"], {}).update(values)
    names = {name for values in last.values() for name in values}
    found = {name: [values[name] for values in last.values() if name in values] for name in names}
    return {name: math.fsum(values) / len(values) for name, values in found.items()}


def _times(
    known: FrozenTrial | None, row: Row | None, reports: Sequence[Row], state: TrialState
) -> tuple[datetime | None, datetime | None]:
    """When the trial began and ended, as well as it is known; Optuna wants both of a finished one."""
    began = known.datetime_start if known is not None else None
    ended = known.datetime_complete if known is not None else None
    seen = [report["time"] for report in reports]
    start = _first((row or {}).get("started"), *seen[:1])
    end = _first((row or {}).get("ended"), *seen[-1:])
    began = began or (datetime.fromtimestamp(start) if start is not None else None)
    if not state.is_finished():
        return began, None
    ended = ended or (datetime.fromtimestamp(end) if end is not None else began)
    return began or ended or datetime.now(), ended or began or datetime.now()


def _first(*values: float | None) -> float | None:
    return next((value for value in values if value is not None), None)
