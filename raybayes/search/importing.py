"""Trials that were made elsewhere, as rows of raw values, fitted into a search space; each misfit is named."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from raybayes.errors import SpecError
from raybayes.search.objective import Objective
from raybayes.search.outcomes.outcome import State, measure_violations
from raybayes.search.outcomes.records import TrialRecord
from raybayes.space import Choice, Int, Parameter, Space, Value

FACTS = ("trial", "state", "steps", "seconds", "started", "ended", "failure")  # columns that are no parameters
_EMPTY = (None, "")
_FINAL = {str(state): state for state in State if state.final}


@dataclass(frozen=True)
class RawTrial:
    """One trial as its source has it: texts from a CSV file, values from Parquet or Optuna.

    Args:
        where: names it in messages: "row 7".
        values: by column: metrics, the facts in `FACTS`, and parameters, which may be called "config.NAME" and must be
            where a fact has their name.
        curve: the first objective by step, where the source has it.
    """

    where: str
    values: Mapping[str, Any]
    curve: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Fitted:
    """What fits, renumbered from 0, and one sentence for each row that does not."""

    records: tuple[TrialRecord, ...]
    misfits: tuple[str, ...]


def fit_trials(
    rows: Sequence[RawTrial],
    space: Space,
    objectives: Sequence[Objective],
    fixed: Mapping[str, Any],
    constraints: Mapping[str, str],
) -> Fitted:
    """The rows as trials of a sweep.

    Args:
        fixed: the rest of the configuration: a column of that name must have that value everywhere.
        constraints: bounds on metrics, which are columns too.

    Raises:
        SpecError: two rows have the same trial number.
    """
    _require_distinct_numbers(rows)
    records: list[TrialRecord] = []
    misfits: list[str] = []
    for row in rows:
        try:
            records.append(_fit(row, len(records), space, objectives, fixed, constraints))
        except ValueError as problem:
            misfits.append(f"{row.where}, {problem}")
    return Fitted(tuple(records), tuple(misfits))


def _require_distinct_numbers(rows: Sequence[RawTrial]) -> None:
    seen: dict[str, str] = {}
    for row in rows:
        number = str(row.values.get("trial", ""))
        if number and number in seen:
            raise SpecError(f"{seen[number]} and {row.where} are both trial {number}; keep one of them.")
        seen[number] = row.where


def _fit(
    row: RawTrial, number: int, space: Space, objectives: Sequence[Objective], fixed: Mapping[str, Any],
    constraints: Mapping[str, str],
) -> TrialRecord:  # fmt: skip
    state = _state(row.values.get("state"))
    params = _params(row, space)
    for name, wanted in fixed.items():
        found = _setting(row, name)
        if found not in _EMPTY and not _equal(found, wanted):
            raise ValueError(f"{name}: found {found!r}; it is fixed at {wanted!r} (-s {name}=VALUE changes that)")
    values: tuple[float, ...] | None = None
    curve = dict(row.curve)
    steps = int(_number(row, "steps") or max(curve, default=0))
    if state is State.COMPLETE:
        values = tuple(_finite(row, objective.name) for objective in objectives)
    elif state is State.PRUNED and len(objectives) == 1 and not curve:
        curve = {max(1, steps): _finite(row, objectives[0].name)}
    missed = {} if values is None else measure_violations(
        constraints, {name: _finite(row, name) for name in constraints}
    )  # fmt: skip
    began = _number(row, "started")
    notes: dict[str, Any] = {"seconds": _number(row, "seconds") or 0.0, "steps": steps, "imported": row.where}
    notes |= {"error": row.values.get("failure") or "it failed before it was imported"} if state is State.FAIL else {}
    notes |= {} if began is None else {"began": began}
    feasible = all(distance <= 0 for distance in missed.values())
    return TrialRecord(
        number, state, params, values, curve, notes, began, _number(row, "ended"), feasible=feasible, missed=missed
    )


def _state(found: Any) -> State:
    text = "COMPLETE" if found in _EMPTY else str(found).upper()
    if text not in _FINAL:
        raise ValueError(f"state: found {found!r}; a finished trial is {', '.join(_FINAL)}")
    return _FINAL[text]


def _params(row: RawTrial, space: Space) -> dict[str, Value]:
    params: dict[str, Value] = {}
    for name in space:
        found, parameter = _setting(row, name), space[name]
        if not space.is_active(name, params):
            if found not in _EMPTY:
                when = ", ".join(f"{other} = {wanted!r}" for other, wanted in (parameter.when or {}).items())
                raise ValueError(f"{name}: found {found!r}; it is inactive here (it needs {when}), so leave it empty")
            continue
        value = _read(parameter, found)
        if not parameter.contains(value):
            raise ValueError(f"{name}: found {found!r}; {parameter.allowed()}")
        params[name] = value
    return params


def _setting(row: RawTrial, name: str) -> Any:
    return row.values.get(f"config.{name}", None if name in FACTS else row.values.get(name))


def _read(parameter: Parameter, found: Any) -> Value:
    """The value in the parameter's type where that loses nothing; else as it was found, which the range refuses."""
    if isinstance(parameter, Choice):
        return next((value for value in parameter.values if _equal(found, value)), found)
    number = _as_number(found)
    if number is None:
        return found if found not in _EMPTY else None
    if isinstance(parameter, Int):
        return int(number) if math.isfinite(number) and number % 1 == 0 else number
    return float(number)


def _equal(found: Any, wanted: Any) -> bool:
    """Whether a value of a file is that of a configuration, whose type a text does not say."""
    if wanted is None:
        return found in (*_EMPTY, "None", "null")
    if isinstance(wanted, bool):
        return found is wanted or (isinstance(found, str) and found.lower() == str(wanted).lower())
    if isinstance(wanted, int | float):
        number = _as_number(found)
        return number is not None and math.isclose(number, wanted, rel_tol=1e-12)
    return str(found) == str(wanted)


def _as_number(found: Any) -> float | int | None:
    if isinstance(found, int | float) and not isinstance(found, bool):
        return found
    try:
        return float(found) if isinstance(found, str) else None
    except ValueError:
        return None


def _finite(row: RawTrial, name: str) -> float:
    found = row.values.get(name)
    number = _as_number(found)
    if number is None or not math.isfinite(number):
        raise ValueError(f"{name}: found {found!r}; a finished trial has a finite number (state FAIL needs none)")
    return float(number)


def _number(row: RawTrial, name: str) -> float | None:
    found = row.values.get(name)
    number = _as_number(found)
    if found not in _EMPTY and (number is None or not math.isfinite(number)):
        raise ValueError(f"{name}: found {found!r}; it is a number")
    return None if number is None else float(number)
