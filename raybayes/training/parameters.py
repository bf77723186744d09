"""Parameters as a command line writes them: `--param lr=log:1e-4..1 --param optimizer=sgd|adam`.

lr=0.001..1              a number, uniform               lr=log:1e-4..1       uniform in the logarithm
width=int:16..256        an integer, both ends included  width=int:log:16..256
rate=0..1/0.25           in steps                        optimizer=sgd|adam   one of several values
layers=64|64,64|none     lists, and None                 momentum=0..0.99 if optimizer=sgd
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from raybayes.errors import SpecError
from raybayes.space import Choice, Float, Int, Parameter, Space
from raybayes.spec.yaml_files import parse_settings

EXAMPLES = "lr=log:1e-4..1, width=int:16..256, optimizer=sgd|adam"
_RANGE = re.compile(
    r"(?P<kinds>(?:int:|log:)*)(?P<low>[^.|,]+(?:\.\d[^.|,]*)?|\S+?)\.\.(?P<high>[^/|]+)(?:/(?P<step>.+))?"
)


def parse_parameters(texts: Sequence[str]) -> Space:
    """The space of some declarations.

    Raises:
        SpecError: a text does not parse; SpaceError: a range or a condition is wrong.
    """
    table: dict[str, Parameter] = {}
    for text in texts:
        name, parameter = parse_parameter(text)
        if name in table:
            raise SpecError(f"--param {name}: found twice; declare each parameter once.")
        table[name] = parameter
    return Space(table)


def parse_parameter(text: str) -> tuple[str, Parameter]:
    """The name and the range of one declaration. SpecError with three that parse, if it does not."""
    declared, _, condition = text.partition(" if ")
    name, equals, values = (part.strip() for part in declared.partition("="))
    if not equals or not name or not values:
        raise SpecError(f"--param {text!r}: write NAME=RANGE, for example {EXAMPLES}.")
    when = _condition(text, condition) if condition else None
    match = _RANGE.fullmatch(values)
    if match is not None:
        return name, _range(text, match, when)
    if "|" in values:
        return name, Choice(*_alternatives(name, values), when=when)
    raise SpecError(f"--param {text!r}: {values!r} is no range and no list of values; for example {EXAMPLES}.")


def _range(text: str, match: re.Match[str], when: dict[str, Any] | None) -> Parameter:
    kinds = set(match["kinds"].rstrip(":").split(":")) if match["kinds"] else set()
    number = int if "int" in kinds else float
    try:
        low, high = number(match["low"]), number(match["high"])
        step = None if match["step"] is None else number(match["step"])
    except ValueError:
        wanted = "integers" if number is int else "numbers"
        raise SpecError(f"--param {text!r}: the ends must be {wanted}; for example {EXAMPLES}.") from None
    if number is int:
        return Int(int(low), int(high), log="log" in kinds, step=1 if step is None else int(step), when=when)
    return Float(low, high, log="log" in kinds, step=step, when=when)


def _alternatives(name: str, values: str) -> list[Any]:
    parts = [[_scalar(name, item) for item in part.split(",")] for part in values.split("|")]
    # Among words `none` is a word; among numbers, lists and booleans it can only mean None.
    words = any(isinstance(item, str) and item != "none" for part in parts for item in part)
    parts = [[None if item == "none" and not words else item for item in part] for part in parts]
    if all(len(part) == 1 for part in parts):
        return [part[0] for part in parts]
    return [None if part == [None] else tuple(part) for part in parts]


def _scalar(name: str, text: str) -> Any:
    return parse_settings([f"{name}={text.strip()}"])[name]


def _condition(text: str, condition: str) -> dict[str, Any]:
    name, equals, values = (part.strip() for part in condition.partition("="))
    if not equals or not name or not values:
        raise SpecError(f"--param {text!r}: write the condition as: if NAME=VALUE, or: if NAME=VALUE|VALUE.")
    found = _alternatives(name, values)
    return {name: found[0] if len(found) == 1 else tuple(found)}
