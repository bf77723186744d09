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

import hashlib
import itertools
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from raybayes.errors import SpaceError
from raybayes.wording import unknown

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
        return isinstance(value, int | float) and not isinstance(value, bool) and _in_range(self, value)

    def allowed(self) -> str:
        """What it may be, in words."""
        steps = "" if self.step is None else f" in steps of {self.step:g}"
        return f"its range is {self.low:g} to {self.high:g}{steps}"

    def problem(self) -> str | None:
        return _range_problem(self.low, self.high, self.log, self.step)

    def nearest(self, value: float) -> float:
        """The allowed value that is nearest to `value`."""
        inside = min(max(value, self.low), self.high)
        return float(inside if self.step is None else _nth(self, round((inside - self.low) / self.step)))

    def grid(self) -> tuple[Value, ...] | None:
        """All values, or None where there are infinitely many."""
        if self.step is None:
            return (self.low,) if self.low == self.high else None
        return tuple(float(_nth(self, i)) for i in range(_last(self) + 1))


@dataclass(frozen=True)
class Int:
    """An integer parameter in [low, high], both ends included."""

    low: int
    high: int
    log: bool = False
    step: int = 1
    when: When | None = None

    def contains(self, value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and _in_range(self, value)

    def allowed(self) -> str:
        """What it may be, in words."""
        steps = "" if self.step == 1 else f" in steps of {self.step}"
        return f"its range is the integers {self.low} to {self.high}{steps}"

    def problem(self) -> str | None:
        for name, bound in (("low", self.low), ("high", self.high), ("step", self.step)):
            if not isinstance(bound, int) or isinstance(bound, bool):
                return f"{name} is {bound!r}, which is no integer; write an integer or use Float"
        return _range_problem(self.low, self.high, self.log, None if self.log and self.step == 1 else self.step)

    def nearest(self, value: float) -> int:
        """The allowed value that is nearest to `value`."""
        inside = min(max(value, self.low), self.high)
        return int(_nth(self, round((inside - self.low) / self.step)))

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

    def allowed(self) -> str:
        """What it may be, in words."""
        return f"it is one of {', '.join(repr(value) for value in self.values)}"

    def problem(self) -> str | None:
        if not self.values:
            return "Choice() has no values; give at least one"
        for value in self.values:
            if value is not None and not isinstance(value, str | int | float | bool):
                return f"{value!r} is no string, number, boolean or None; name the alternatives"
            if value != value:
                return "nan is no alternative, because it equals nothing; name another value"
        if len(set(self.values)) < len(self.values):  # the study cannot tell 1, 1.0 and True apart either
            return f"{self!r} names a value twice (1, 1.0 and True are equal); keep one"
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
    if step is not None and (not isinstance(step, int | float) or isinstance(step, bool) or not 0 < step < math.inf):
        return f"step must be a finite number above 0, found {step!r}"
    if log and step is not None:
        return "a range is either log or stepped; drop one of the two"
    return None


def _last(ladder: Float | Int) -> int:
    """The number of the highest step. In decimals, as the ranges are written: 0.1, 0.2, 0.3 has three values."""
    low, high, step = (Decimal(str(number)) for number in (ladder.low, ladder.high, ladder.step))
    return int((high - low) // step)


def _nth(ladder: Float | Int, i: int) -> Decimal:
    return Decimal(str(ladder.low)) + min(i, _last(ladder)) * Decimal(str(ladder.step))


def _in_range(ladder: Float | Int, value: float) -> bool:
    if not ladder.low <= value <= ladder.high:
        return False
    steps = 0.0 if ladder.step is None else (value - ladder.low) / ladder.step
    return abs(steps - round(steps)) < 1e-8  # sums of binary fractions miss a decimal step by a little


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
                return f"when= names an {unknown('parameter', other, self._parameters).rstrip('.')}"
            if not _alternatives(wanted):
                return f"its condition names no value of {other}; give at least one"
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
        return isinstance(other, Space) and self.digest() == other.digest()

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
        """The space that is left when some parameters are fixed.

        A condition on a fixed parameter is decided. Where it holds, what is left of the fixed parameter's own
        condition takes its place; where it cannot hold, the parameter goes.
        """
        left: dict[str, Parameter] = {}
        gone: dict[str, When | None] = {}  # what is left of the condition of those that go; None: it never holds
        for name in self._order:
            when = self._decided(name, fixed, gone)
            if name in fixed or when is None:
                gone[name] = when
            else:
                left[name] = _with_when(self._parameters[name], when)
        return Space(left)

    def _decided(self, name: str, fixed: Mapping[str, Any], gone: Mapping[str, When | None]) -> When | None:
        when: dict[str, Any] = {}
        for other, wanted in (self._parameters[name].when or {}).items():
            inherited: When | None = {other: wanted}
            if other in gone:
                inherited = gone[other]
                if inherited is None or fixed[other] not in _alternatives(wanted):
                    return None
            for ancestor, values in (inherited or {}).items():
                when[ancestor] = _both(when[ancestor], values) if ancestor in when else values
                if not _alternatives(when[ancestor]):
                    return None
        return when

    def outside(self, values: Mapping[str, Any]) -> str | None:
        """Why a configuration is not in the space, or None if it is."""
        for name in self.active(values):
            if name not in values:
                return f"{name} has no value"
            if not self._parameters[name].contains(values[name]):
                return f"{name}: found {values[name]!r}; {self._parameters[name].allowed()}"
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

    def constants(self) -> dict[str, Value]:
        """Parameters that have one value and no condition: they are part of every configuration."""
        grids = {name: self._parameters[name].grid() for name in self._order if not self._parameters[name].when}
        return {name: grid[0] for name, grid in grids.items() if grid is not None and len(grid) == 1}

    def describe(self) -> dict[str, dict[str, Any]]:
        """Plain values for YAML and JSON, in the order of the table."""
        return {name: _describe(parameter) for name, parameter in self._parameters.items()}

    @classmethod
    def from_description(cls, table: Mapping[str, Mapping[str, Any]]) -> Space:
        """The inverse of `describe`."""
        return cls({name: _from_description(name, entry) for name, entry in table.items()})

    def differences(self, other: Space) -> list[str]:
        """What is another in `other`, one "name: range here -> range there" each; empty if the two are equal."""
        here, there = self.describe(), other.describe()
        pairs = {name: (here.get(name), there.get(name)) for name in {**here, **there}}
        # As JSON, because 1 and True are equal as Python values and are not the same choice.
        changed = {name: pair for name, pair in pairs.items() if json.dumps(pair[0]) != json.dumps(pair[1])}
        return [f"{name}: {old or 'absent'} -> {new or 'absent'}" for name, (old, new) in changed.items()]

    def digest(self) -> str:
        """16 hex digits that change when the space changes."""
        return hashlib.sha256(json.dumps(self.describe(), sort_keys=True).encode()).hexdigest()[:16]


def _alternatives(wanted: Any) -> tuple[Any, ...]:
    if isinstance(wanted, set | frozenset):
        return tuple(sorted(wanted, key=repr))  # the order of a set differs from process to process
    return tuple(wanted) if isinstance(wanted, tuple | list) else (wanted,)


def _both(one: Any, other: Any) -> tuple[Any, ...]:
    return tuple(value for value in _alternatives(one) if value in _alternatives(other))


def _with_when(parameter: Parameter, when: When) -> Parameter:
    if isinstance(parameter, Choice):
        return Choice(*parameter.values, when=when or None)
    kind = type(parameter)
    return kind(parameter.low, parameter.high, parameter.log, parameter.step, when or None)  # type: ignore[arg-type]


def _describe(parameter: Parameter) -> dict[str, Any]:
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
        entry["when"] = {other: list(_alternatives(wanted)) for other, wanted in parameter.when.items()}
    return entry


def _from_description(name: str, entry: Mapping[str, Any]) -> Parameter:
    when = {other: _alternatives(wanted) for other, wanted in entry.get("when", {}).items()} or None
    if "choice" in entry:
        return Choice(*entry["choice"], when=when)
    kind = Int if "int" in entry else Float
    bounds = entry.get("int", entry.get("float"))
    if not isinstance(bounds, list | tuple) or len(bounds) != 2:
        raise SpaceError(
            f"{name}: {dict(entry)!r} names no range; write choice: [values], int: [low, high] or float: [low, high]."
        )
    return kind(bounds[0], bounds[1], entry.get("log", False), entry.get("step", 1 if kind is Int else None), when)
