"""Values of a parameter: scalars, and lists and tuples of them; as plain data, and as one key for equal values."""

from __future__ import annotations

import copy
import json
from typing import Any

Value = float | int | str | bool | None | list[Any] | tuple[Any, ...]
_TUPLE = "tuple"  # JSON and YAML have lists only: {"tuple": [64, 64]}


def as_key(value: Any) -> Any:
    """A hashable stand-in, the same for a list and a tuple of the same elements: their JSON text. Scalars as they are.

    It is also what the study stores: a JSON text survives its journal, and Optuna compares it by equality.
    """
    return json.dumps(value, default=repr) if isinstance(value, list | tuple) else value


def to_plain(value: Any) -> Any:
    """A value for JSON and YAML, tuples marked as such."""
    if isinstance(value, tuple):
        return {_TUPLE: [to_plain(each) for each in value]}
    return [to_plain(each) for each in value] if isinstance(value, list) else value


def from_plain(value: Any) -> Any:
    """The inverse of `to_plain`."""
    if isinstance(value, dict) and set(value) == {_TUPLE}:
        return tuple(from_plain(each) for each in value[_TUPLE])
    return [from_plain(each) for each in value] if isinstance(value, list) else value


def own_copy(value: Any) -> Any:
    """The value, copied if it could be changed: a trial that changes its list must not change the space."""
    return copy.deepcopy(value) if isinstance(value, list) else value


def value_problem(value: Any) -> str | None:
    """Why this cannot be a value of a choice; None if it can."""
    if isinstance(value, list | tuple):
        return next((problem for each in value if (problem := value_problem(each))), None)
    if value is not None and not isinstance(value, str | int | float | bool):
        return f"{value!r} is not a string, number, boolean, None, or a list or tuple of these; use one of these"
    if value != value:
        return "Choice cannot contain NaN, which never compares equal; use another value"
    return None
