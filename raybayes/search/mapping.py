"""Trials of a search space that has changed since, as trials of the new one."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from raybayes.search.outcomes.records import TrialRecord
from raybayes.space import Choice, Float, Parameter, Space, Value


@dataclass(frozen=True)
class Mapped:
    """The trials in the new space.

    Args:
        records: those that have a place in it.
        changed: numbers of the trials whose configuration is not the one that was trained.
        remark: what was done to them, in a sentence.
    """

    records: tuple[TrialRecord, ...]
    changed: frozenset[int]
    remark: str


def map_records(records: Sequence[TrialRecord], old: Space, new: Space, defaults: Mapping[str, Any]) -> Mapped:
    """Shared parameters keep their values, clipped to the new range; new ones get their default.

    A trial with a choice that the new space does not have is left out. A new parameter without a default in its range
    gets the middle of the range, or the first choice.

    Args:
        old, new: the space of the trials, and the one that they are mapped to.
        defaults: the default configuration by dotted names.
    """
    mapped: list[TrialRecord] = []
    clipped: Counter[str] = Counter()
    gone: Counter[str] = Counter()
    added: dict[str, Value] = {}
    changed: set[int] = set()
    for record in records:
        params: dict[str, Value] = {}
        for name in new:
            if not new.is_active(name, params):
                continue
            if name not in record.params or not _same_kind(old, new, name):
                added[name] = params[name] = _default(new[name], defaults.get(name))
                continue
            value = _placed(new[name], record.params[name])
            if isinstance(new[name], Choice) and not new[name].contains(value):
                gone[name] += 1
                break
            clipped[name] += not _close(value, record.params[name])
            params[name] = value
        else:
            mapped.append(replace(record, params=params))
            if any(not _close(params.get(name), value) for name, value in record.params.items()):
                changed.add(record.number)
    dropped = [name for name in old if name not in new]
    said = [
        *(f"{name} is clipped to its range in {_trials(count)}" for name, count in clipped.items() if count),
        *(f"{name} is new and gets {_shown(value)}" for name, value in added.items()),
        *(f"{name} is searched no longer" for name in dropped),
        *(f"{_trials(count)} with a value of {name} that is gone are left out" for name, count in gone.items()),
    ]
    return Mapped(tuple(mapped), frozenset(changed), ", ".join(said))


def _same_kind(old: Space, new: Space, name: str) -> bool:
    return name in old and isinstance(old[name], Choice) == isinstance(new[name], Choice)


def _placed(parameter: Parameter, value: Any) -> Value:
    return value if isinstance(parameter, Choice) else parameter.nearest(value)


def _close(one: Any, other: Any) -> bool:
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (one, other))
    return math.isclose(one, other, rel_tol=1e-9) if numbers else one == other and type(one) is type(other)


def _default(parameter: Parameter, value: Any) -> Value:
    if isinstance(parameter, Float) and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if parameter.contains(value):
        known: Value = value
        return known
    if isinstance(parameter, Choice):
        return parameter.values[0]
    low, high = parameter.low, parameter.high
    return parameter.nearest(math.sqrt(low * high) if parameter.log else (low + high) / 2)


def _trials(count: int) -> str:
    return f"{count} trial{'s' if count > 1 else ''}"


def _shown(value: Value) -> str:
    return f"{value:g}" if isinstance(value, float) else repr(value)
