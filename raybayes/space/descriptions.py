"""Parameters as plain values for YAML and JSON, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from raybayes.errors import SpaceError
from raybayes.space.parameters import Choice, Float, Int, Parameter
from raybayes.space.values import Value, from_plain, to_plain


def describe_parameter(parameter: Parameter, accepted: Mapping[str, Sequence[Value]]) -> dict[str, Any]:
    """Plain values.

    Args:
        accepted: the values of other parameters under which it exists.
    """
    if isinstance(parameter, Choice):
        entry: dict[str, Any] = {"choice": [to_plain(value) for value in parameter.values]}
    else:
        number, kind = (int, "int") if isinstance(parameter, Int) else (float, "float")  # Float(1, 2): 1.0 to 2.0
        entry = {kind: [number(parameter.low), number(parameter.high)]}
        if parameter.log:
            entry["log"] = True
        if parameter.step is not None and not (kind == "int" and parameter.step == 1):
            entry["step"] = number(parameter.step)
    if accepted:
        entry["when"] = {other: [to_plain(value) for value in values] for other, values in accepted.items()}
    return entry


def parameter_from_description(name: str, entry: Mapping[str, Any]) -> Parameter:
    """The inverse of `describe_parameter`. SpaceError for anything else."""
    when = {other: _as_tuple(wanted) for other, wanted in entry.get("when", {}).items()} or None
    if "choice" in entry:
        return Choice(*map(from_plain, entry["choice"]), when=when)
    kind = Int if "int" in entry else Float
    bounds = entry.get("int", entry.get("float"))
    if not isinstance(bounds, list | tuple) or len(bounds) != 2:
        raise SpaceError(
            f"{name}: {dict(entry)!r} is not a range; write choice: [values], int: [low, high] or float: [low, high]."
        )
    return kind(bounds[0], bounds[1], entry.get("log", False), entry.get("step", 1 if kind is Int else None), when)


def mended(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """A stored range with the upper end that its steps reach: sweeps before 0.2 took any, and stepped to the last."""
    kind = "int" if "int" in entry else "float"
    if "choice" in entry or "step" not in entry:
        return entry
    (low, high), step = entry[kind], entry["step"]
    steps = (high - low) / step
    last = high if abs(steps - round(steps)) < 1e-8 else round(low + math.floor(steps) * step, 12)
    return {**entry, kind: [low, last]}


def _as_tuple(wanted: Any) -> tuple[Any, ...]:
    return tuple(map(from_plain, wanted)) if isinstance(wanted, list | tuple) else (wanted,)
