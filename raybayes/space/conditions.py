"""The values that a condition (`when`) accepts, and parameters under another condition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from raybayes.space.parameters import Choice, Parameter
from raybayes.space.values import Value, as_key


def accepted_values(wanted: Any, parameter: Parameter) -> tuple[Any, ...]:
    """The values of `parameter` that a condition accepts. A list is one value where the parameter has it as one."""
    if isinstance(parameter, Choice) and parameter.contains(wanted):
        return (wanted,)
    if isinstance(wanted, set | frozenset):
        return tuple(sorted(wanted, key=repr))  # the order of a set differs between processes
    return tuple(wanted) if isinstance(wanted, tuple | list) else (wanted,)


def is_accepted(value: Any, accepted: Sequence[Value]) -> bool:
    """Whether a value is among those that a condition accepts."""
    key = as_key(value)
    return any(key == as_key(each) for each in accepted)


def values_of_both(one: Sequence[Value], other: Sequence[Value]) -> tuple[Any, ...]:
    """Those of `one` that are in `other` too."""
    return tuple(value for value in one if is_accepted(value, other))


def with_condition(parameter: Parameter, accepted: Mapping[str, Sequence[Value]]) -> Parameter:
    """The same range under another condition; under none if it is empty."""
    when = {other: values[0] if len(values) == 1 else values for other, values in accepted.items()}
    if isinstance(parameter, Choice):
        return Choice(*parameter.values, when=when or None)
    kind = type(parameter)
    return kind(parameter.low, parameter.high, parameter.log, parameter.step, when or None)  # type: ignore[arg-type]
