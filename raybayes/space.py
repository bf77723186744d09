"""Declared search spaces: a flat table of dotted names, each with a range and, if need be, a condition.

Example:
    >>> from raybayes.space import Choice, Float, Int, Space
    >>> space = Space({
    ...     "lr": Float(1e-3, 1.0, log=True),
    ...     "method": Choice("single", "sse"),
    ...     "sse.cycles": Int(2, 8, when={"method": "sse"}),
    ... })
    >>> space.active({"method": "single"})
    ('lr', 'method')
    >>> space.active({"method": "sse"})
    ('lr', 'method', 'sse.cycles')
"""

from __future__ import annotations

import difflib
import hashlib
import itertools
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from raybayes.errors import SpaceError

Value = float | int | str | bool | None
When = Mapping[str, Any]


@dataclass(frozen=True)
class Float:
    """A real parameter in [low, high], uniform in the value or (log) in its logarithm; `step` makes it discrete."""

    low: float
    high: float
    log: bool = False
    step: float | None = None
    when: When | None = None

    def contains(self, value: Any) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and self.low <= value <= self.high

    def problem(self) -> str | None:
        return _range_problem(self.low, self.high, self.log, self.step)

    def grid(self) -> tuple[Value, ...] | None:
        """All values, or None where there are infinitely many."""
        if self.step is None:
            return (self.low,) if self.low == self.high else None
        count = math.floor((self.high - self.low) / self.step + 1e-9) + 1
        return tuple(self.low + i * self.step for i in range(count))


@dataclass(frozen=True)
class Int:
    """An integer parameter in [low, high], both ends included."""

    low: int
    high: int
    log: bool = False
    step: int = 1
    when: When | None = None

    def contains(self, value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and self.low <= value <= self.high

    def problem(self) -> str | None:
        for name, bound in (("low", self.low), ("high", self.high)):
            if not isinstance(bound, int) or isinstance(bound, bool):
                return f"{name} is {bound!r}, which is no integer; write an integer or use Float"
        return _range_problem(self.low, self.high, self.log, None if self.log and self.step == 1 else self.step)

    def grid(self) -> tuple[Value, ...] | None:
        return tuple(range(self.low, self.high + 1, self.step))


class Choice:
    """One of a few named values (strings, numbers, booleans, None)."""

    def __init__(self, *values: Value, when: When | None = None) -> None:
        self.values = values
        self.when = when

    def __repr__(self) -> str:
        shown = ", ".join(repr(value) for value in self.values)
        return f"Choice({shown}{'' if self.when is None else f', when={dict(self.when)!r}'})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Choice) and (self.values, self.when) == (other.values, other.when)

    def __hash__(self) -> int:
        return hash(self.values)

    def contains(self, value: Any) -> bool:
        return any(value == mine and type(value) is type(mine) for mine in self.values)

    def problem(self) -> str | None:
        if not self.values:
            return "Choice() has no values; give at least one"
        for value in self.values:
            if value is not None and not isinstance(value, str | int | float | bool):
                return f"{value!r} is no string, number, boolean or None; name the alternatives"
        if len({repr(value) for value in self.values}) < len(self.values):
            return f"{self!r} names a value twice; keep one"
        return None

    def grid(self) -> tuple[Value, ...] | None:
        return self.values


Parameter = Float | Int | Choice


def _range_problem(low: float, high: float, log: bool, step: float | None) -> str | None:
    for name, bound in (("low", low), ("high", high)):
        if not isinstance(bound, int | float) or isinstance(bound, bool) or not math.isfinite(bound):
            return f"{name} is {bound!r}, which is no finite number"
    if low > high:
        return f"low {low:g} is above high {high:g}; swap them"
    if log and low <= 0:
        return f"a log range needs low > 0, found {low:g}; raise low or drop log"
    if step is not None and step <= 0:
        return f"step must be above 0, found {step:g}"
    if log and step is not None:
        return "a range is either log or stepped; drop one of the two"
    return None


class Space:
    """A flat table of parameters. Conditions (`when`) name other parameters of the table and the values they need.

    Raises:
        SpaceError: a range is empty, or a condition is on an unknown parameter, on a value that it cannot
            take, or on itself in a circle. The message names the parameter.
    """

    def __init__(self, parameters: Mapping[str, Parameter]) -> None:
        self._parameters = dict(parameters)
        for name, parameter in self._parameters.items():
            if not isinstance(parameter, Float | Int | Choice):
                raise SpaceError(f"{name}: {parameter!r} is no range; use Float, Int or Choice.")
            if problem := parameter.problem() or self._condition_problem(name, parameter):
                raise SpaceError(f"{name}: {problem}.")
        self._order = self._by_dependence()

    def _condition_problem(self, name: str, parameter: Parameter) -> str | None:
        for other, wanted in (parameter.when or {}).items():
            if other not in self._parameters:
                near = difflib.get_close_matches(other, self._parameters, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else f"; the space has {', '.join(self._parameters)}"
                return f"its condition is on {other!r}, which is not in the space{hint}"
            for value in _alternatives(wanted):
                if not self._parameters[other].contains(value):
                    return f"its condition wants {other} = {value!r}, which {self._parameters[other]!r} never takes"
        return None

    def _by_dependence(self) -> tuple[str, ...]:
        """Names in the order of the table, but conditions before what depends on them."""
        order: list[str] = []
        waiting = list(self._parameters)
        while waiting:
            ready = [n for n in waiting if all(other in order for other in self._parameters[n].when or {})]
            if not ready:
                raise SpaceError(f"the conditions of {', '.join(waiting)} go round in a circle; remove one of them.")
            order.append(ready[0])
            waiting.remove(ready[0])
        return tuple(order)

    def __iter__(self) -> Iterator[str]:
        return iter(self._order)

    def __len__(self) -> int:
        return len(self._order)

    def __contains__(self, name: object) -> bool:
        return name in self._parameters

    def __getitem__(self, name: str) -> Parameter:
        return self._parameters[name]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Space) and self.describe() == other.describe()

    def __hash__(self) -> int:
        return hash(self.digest())

    def __repr__(self) -> str:
        body = "".join(f"    {name!r}: {self._parameters[name]!r},\n" for name in self._parameters)
        return f"Space({{\n{body}}})"

    @property
    def conditional(self) -> bool:
        """Whether some parameter exists only under a condition."""
        return any(parameter.when for parameter in self._parameters.values())

    def is_active(self, name: str, values: Mapping[str, Any]) -> bool:
        """Whether the parameter exists, given the values of those before it."""
        when = self._parameters[name].when or {}
        return all(other in values and values[other] in _alternatives(wanted) for other, wanted in when.items())

    def active(self, values: Mapping[str, Any]) -> tuple[str, ...]:
        """Names of the parameters that exist under the given values of their conditions."""
        present: dict[str, Any] = {}
        for name in self._order:
            if self.is_active(name, present):
                present[name] = values.get(name)
        return tuple(present)

    def without(self, fixed: Mapping[str, Any]) -> Space:
        """The space that is left when some parameters are fixed: conditions on them are decided and dropped."""
        left: dict[str, Parameter] = {}
        gone = set(fixed)
        for name in self._order:
            parameter = self._parameters[name]
            if name in gone:
                continue
            decided = {other: wanted for other, wanted in (parameter.when or {}).items() if other in gone}
            if any(
                other not in fixed or fixed[other] not in _alternatives(wanted) for other, wanted in decided.items()
            ):
                gone.add(name)  # its condition can never hold any more
                continue
            left[name] = _with_when(parameter, {o: w for o, w in (parameter.when or {}).items() if o not in decided})
        return Space(left)

    def outside(self, values: Mapping[str, Any]) -> str | None:
        """Why a configuration is not in the space, or None if it is."""
        for name in self.active(values):
            if name not in values:
                return f"{name} has no value"
            if not self._parameters[name].contains(values[name]):
                return f"{name} = {values[name]!r} is outside {self._parameters[name]!r}"
        return None

    def grid(self) -> list[dict[str, Value]]:
        """Every configuration, conditional parameters only where they exist. SpaceError if one range is continuous."""
        for name in self._order:
            if self._parameters[name].grid() is None:
                raise SpaceError(f"{name}: {self._parameters[name]!r} has infinitely many values; a grid needs step=.")
        points: list[dict[str, Value]] = [{}]
        for name in self._order:
            values = self._parameters[name].grid() or ()
            points = list(
                itertools.chain.from_iterable(
                    [{**point, name: value} for value in values] if self.is_active(name, point) else [point]
                    for point in points
                )
            )
        return points

    def describe(self) -> dict[str, dict[str, Any]]:
        """Plain values for YAML and JSON, in the order of the table."""
        return {name: _describe(parameter) for name, parameter in self._parameters.items()}

    @classmethod
    def from_description(cls, table: Mapping[str, Mapping[str, Any]]) -> Space:
        """The inverse of `describe`."""
        return cls({name: _from_description(name, entry) for name, entry in table.items()})

    def digest(self) -> str:
        """16 hex digits that change when the space changes."""
        return hashlib.sha256(json.dumps(self.describe(), sort_keys=True).encode()).hexdigest()[:16]


def _alternatives(wanted: Any) -> tuple[Any, ...]:
    return tuple(wanted) if isinstance(wanted, tuple | list | set | frozenset) else (wanted,)


def _with_when(parameter: Parameter, when: When) -> Parameter:
    if isinstance(parameter, Choice):
        return Choice(*parameter.values, when=when or None)
    kind = type(parameter)
    return kind(parameter.low, parameter.high, parameter.log, parameter.step, when or None)  # type: ignore[arg-type]


def _describe(parameter: Parameter) -> dict[str, Any]:
    if isinstance(parameter, Choice):
        entry: dict[str, Any] = {"choice": list(parameter.values)}
    else:
        entry = {"int" if isinstance(parameter, Int) else "float": [parameter.low, parameter.high]}
        if parameter.log:
            entry["log"] = True
        if parameter.step not in (None, 1) or (isinstance(parameter, Float) and parameter.step is not None):
            entry["step"] = parameter.step
    if parameter.when:
        entry["when"] = {other: list(_alternatives(wanted)) for other, wanted in parameter.when.items()}
    return entry


def _from_description(name: str, entry: Mapping[str, Any]) -> Parameter:
    when = {other: tuple(wanted) for other, wanted in entry["when"].items()} if "when" in entry else None
    if "choice" in entry:
        return Choice(*entry["choice"], when=when)
    if "int" in entry:
        low, high = entry["int"]
        return Int(low, high, entry.get("log", False), entry.get("step", 1), when)
    if "float" in entry:
        low, high = entry["float"]
        return Float(low, high, entry.get("log", False), entry.get("step"), when)
    raise SpaceError(f"{name}: {dict(entry)!r} names no range; it needs one of choice, int, float.")
