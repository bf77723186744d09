"""The table of trials: one row per trial of the study, in columns that do not depend on what the trials found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from raybayes.search.objective import Objective
from raybayes.search.outcomes.records import TrialRecord
from raybayes.space import Choice, Float, Int, Parameter, Space, Value
from raybayes.space.values import as_key

NONE_IS_A_VALUE = b"raybayes.none"  # in the metadata of a column whose parameter is always active and may be None


def trials_table(records: Sequence[TrialRecord], space: Space, objectives: Sequence[Objective]) -> pa.Table:
    """One row per trial: trial, state, steps, objectives with standard errors, n (runs), config.*, seconds, ..."""
    columns: dict[str, pa.Array] = {
        "trial": pa.array([r.number for r in records], pa.int64()),
        "state": pa.array([str(r.state) for r in records], pa.string()),
        "feasible": pa.array([r.feasible for r in records], pa.bool_()),
        "steps": pa.array([r.notes.get("steps", max(r.curve, default=0)) for r in records], pa.int64()),
    }
    for i, objective in enumerate(objectives):
        columns[objective.name] = pa.array([_value(r, i) for r in records], pa.float64())
        errors = [r.notes.get("se", {}).get(objective.name) for r in records]
        if any(error is not None for error in errors):
            columns[f"{objective.name}.se"] = pa.array(errors, pa.float64())
    columns["n"] = pa.array([r.notes.get("n", 1) if r.values is not None else None for r in records], pa.int64())
    for name in space:
        columns[f"config.{name}"] = _config_column(space[name], [r.params.get(name) for r in records])
    columns["seconds"] = pa.array([float(r.notes.get("seconds", 0.0)) for r in records], pa.float64())
    columns["started"] = pa.array([r.notes.get("began", r.started) for r in records], pa.float64())
    columns["ended"] = pa.array([r.ended for r in records], pa.float64())
    columns["node"] = pa.array([r.notes.get("node") for r in records], pa.string())
    columns["attempts"] = pa.array([sum(r.notes.get("tries", {}).values()) for r in records], pa.int64())
    columns["failure"] = pa.array([r.notes.get("error") for r in records], pa.string())
    if any("errors" in r.notes for r in records):  # some were run again after they had failed
        columns["earlier_failures"] = pa.array([_headlines(r.notes.get("errors")) for r in records], pa.string())
    table = pa.table(columns)
    for name in space:
        if _means_none(space, name):
            place = table.column_names.index(f"config.{name}")
            field = table.schema.field(place).with_metadata({NONE_IS_A_VALUE: b"yes"})
            table = table.set_column(place, field, table.column(place))
    return table


def _means_none(space: Space, name: str) -> bool:
    """Whether a null of this column is the value None, and not a parameter that is inactive."""
    parameter = space[name]
    return isinstance(parameter, Choice) and None in parameter.values and not space.accepted(name)


def _headlines(errors: Sequence[str] | None) -> str | None:
    """The first line of each earlier error, oldest first."""
    return "; then ".join(error.partition("\n")[0] for error in errors) if errors else None


def _value(record: TrialRecord, objective: int) -> float | None:
    if record.values is not None:
        return record.values[objective]
    if objective == 0 and record.curve:
        return record.curve[max(record.curve)]  # a pruned or failed trial shows its last value
    return None


def _config_column(parameter: Parameter, values: Sequence[Value]) -> pa.Array:
    """A column whose type depends on the space and not on the values: all tables of a sweep have equal columns.

    Lists of one kind are lists; other lists, and values of several kinds, are texts.
    """
    if isinstance(parameter, Int):
        return pa.array(values, pa.int64())
    if isinstance(parameter, Float):
        return pa.array(values, pa.float64())
    declared = [value for value in parameter.values if value is not None]
    if declared and all(isinstance(value, list | tuple) for value in declared):
        kind = _common_type([each for value in declared for each in value])  # type: ignore[union-attr]
        if kind is not None:
            return pa.array([None if value is None else list(value) for value in values], pa.list_(kind))  # type: ignore[arg-type]
    kind = _common_type(declared)
    if kind is None or kind == pa.string():
        return pa.array([None if value is None else str(as_key(value)) for value in values], pa.string())
    return pa.array(values, kind)


def _common_type(values: Sequence[Any]) -> pa.DataType | None:
    """The Arrow type that holds all these values; None if there is none but text."""
    kinds = {type(value) for value in values}
    found = {frozenset({bool}): pa.bool_(), frozenset({int}): pa.int64(), frozenset({str}): pa.string()}
    if kinds and kinds <= {int, float}:
        return found.get(frozenset(kinds), pa.float64())
    return found.get(frozenset(kinds))


def column_values(row: Mapping[str, Any], space: Space) -> dict[str, Value]:
    """The configuration in a row of the table, from its columns `config.*`, as far as they are unambiguous."""
    found: dict[str, Value] = {}
    for name in space:
        if not space.is_active(name, found) or f"config.{name}" not in row:
            continue
        parameter, stored = space[name], row[f"config.{name}"]
        if isinstance(parameter, Int | Float):
            if stored is not None:
                found[name] = stored
            continue
        shown = _config_column(parameter, parameter.values).to_pylist()
        matching = [value for value, text in zip(parameter.values, shown, strict=True) if text == stored]
        if len(matching) == 1:
            found[name] = matching[0]
    return found
