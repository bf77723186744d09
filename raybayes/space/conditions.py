"""The values that a condition (`when`) accepts, and parameters under another condition."""

from __future__ import annotations

from typing import Any

from raybayes.space.parameters import Choice, Parameter, When


def accepted_values(wanted: Any) -> tuple[Any, ...]:
    if isinstance(wanted, set | frozenset):
        return tuple(sorted(wanted, key=repr))  # the order of a set differs between processes
    return tuple(wanted) if isinstance(wanted, tuple | list) else (wanted,)


def values_of_both(one: Any, other: Any) -> tuple[Any, ...]:
    return tuple(value for value in accepted_values(one) if value in accepted_values(other))


def with_condition(parameter: Parameter, when: When) -> Parameter:
    if isinstance(parameter, Choice):
        return Choice(*parameter.values, when=when or None)
    kind = type(parameter)
    return kind(parameter.low, parameter.high, parameter.log, parameter.step, when or None)  # type: ignore[arg-type]
