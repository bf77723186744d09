"""Parameters as plain values for YAML and JSON, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from raybayes.errors import SpaceError
from raybayes.space.conditions import accepted_values
from raybayes.space.parameters import Choice, Float, Int, Parameter


def describe_parameter(parameter: Parameter) -> dict[str, Any]:
    if isinstance(parameter, Choice):
        entry: dict[str, Any] = {"choice": list(parameter.values)}
    else:
        number, kind = (int, "int") if isinstance(parameter, Int) else (float, "float")  # Float(1, 2): 1.0 to 2.0
        entry = {kind: [number(parameter.low), number(parameter.high)]}
        if parameter.log:
            entry["log"] = True
        if parameter.step is not None and not (kind == "int" and parameter.step == 1):
            entry["step"] = number(parameter.step)
    if parameter.when:
        entry["when"] = {other: list(accepted_values(wanted)) for other, wanted in parameter.when.items()}
    return entry


def parameter_from_description(name: str, entry: Mapping[str, Any]) -> Parameter:
    when = {other: accepted_values(wanted) for other, wanted in entry.get("when", {}).items()} or None
    if "choice" in entry:
        return Choice(*entry["choice"], when=when)
    kind = Int if "int" in entry else Float
    bounds = entry.get("int", entry.get("float"))
    if not isinstance(bounds, list | tuple) or len(bounds) != 2:
        raise SpaceError(
            f"{name}: {dict(entry)!r} is not a range; write choice: [values], int: [low, high] or float: [low, high]."
        )
    return kind(bounds[0], bounds[1], entry.get("log", False), entry.get("step", 1 if kind is Int else None), when)
