"""The ranges of a search space: Float, Int, Choice."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from raybayes.space.values import Value, as_key, own_copy, value_problem

When = Mapping[str, Any]
_TOLERANCE = 1e-8  # of a step: binary fractions are slightly off decimal steps


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
        """The allowed values, in words."""
        steps = "" if self.step is None else f" in steps of {self.step:g}"
        return f"its range is {self.low:g} to {self.high:g}{steps}"

    def problem(self) -> str | None:
        return _range_problem(self.low, self.high, self.log, self.step)

    def nearest(self, value: float) -> float:
        """The allowed value nearest to `value`."""
        inside = min(max(value, self.low), self.high)
        return float(inside if self.step is None else _nth(self, round((inside - self.low) / self.step)))

    def declared(self, value: Any) -> float:
        """A contained value in the type of this parameter."""
        return float(value) if self.step is None else self.nearest(value)

    def grid(self) -> tuple[Value, ...] | None:
        """All values; None if there are infinitely many."""
        if self.step is None:
            return (self.low,) if self.low == self.high else None
        return tuple(float(_nth(self, i)) for i in range(_last(self) + 1))


@dataclass(frozen=True)
class Int:
    """An integer parameter in [low, high], including both ends."""

    low: int
    high: int
    log: bool = False
    step: int = 1
    when: When | None = None

    def contains(self, value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and _in_range(self, value)

    def allowed(self) -> str:
        """The allowed values, in words."""
        steps = "" if self.step == 1 else f" in steps of {self.step}"
        return f"its range is the integers {self.low} to {self.high}{steps}"

    def problem(self) -> str | None:
        for name, bound in (("low", self.low), ("high", self.high), ("step", self.step)):
            if not isinstance(bound, int) or isinstance(bound, bool):
                return f"{name} is {bound!r}, which is not an integer; write an integer, or use Float"
        return _range_problem(self.low, self.high, self.log, None if self.log and self.step == 1 else self.step)

    def nearest(self, value: float) -> int:
        """The allowed value nearest to `value`."""
        inside = min(max(value, self.low), self.high)
        return int(_nth(self, round((inside - self.low) / self.step)))

    def declared(self, value: Any) -> int:
        """A contained value in the type of this parameter."""
        return int(value)

    def grid(self) -> tuple[Value, ...] | None:
        return tuple(range(self.low, self.high + 1, self.step))


class Choice:
    """One of several values: strings, numbers, booleans, None, and lists or tuples of these.

    A trial gets a list as a list and a tuple as a tuple. Where values are compared, [64, 64] and (64, 64) are equal:
    YAML, JSON and the command line have only one of them.
    """

    def __init__(self, *values: Value, when: When | None = None) -> None:
        self.values = values
        self.when = when

    def __repr__(self) -> str:
        shown = ", ".join(repr(value) for value in self.values)
        return f"Choice({shown}{'' if self.when is None else f', when={dict(self.when)!r}'})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Choice) and (self.values, self.when) == (other.values, other.when)

    def __hash__(self) -> int:
        return hash(self.keys)

    @property
    def keys(self) -> tuple[Any, ...]:
        """What the study stores for each value."""
        return tuple(map(as_key, self.values))

    def contains(self, value: Any) -> bool:
        return self._place(value) is not None

    def declared(self, value: Any) -> Value:
        """The value of this choice that is equal to a contained one, or whose key it is."""
        place = self._place(value)
        found: Value = own_copy(self.values[self.keys.index(value) if place is None else place])
        return found

    def _place(self, value: Any) -> int | None:
        kind = list if isinstance(value, tuple) else type(value)
        for place, mine in enumerate(self.values):
            if kind is (list if isinstance(mine, tuple) else type(mine)) and as_key(value) == as_key(mine):
                return place
        return None

    def allowed(self) -> str:
        """The allowed values, in words."""
        return f"it is one of {', '.join(repr(value) for value in self.values)}"

    def problem(self) -> str | None:
        if not self.values:
            return "Choice() has no values; give at least one"
        if found := next((problem for value in self.values if (problem := value_problem(value))), None):
            return found
        if len(set(self.keys)) < len(self.values):  # the study cannot distinguish 1, 1.0 and True either
            lists = any(isinstance(value, list | tuple) for value in self.values)
            equal = "a list and its tuple" if lists else "1, 1.0 and True"
            return f"{self!r} has a value twice ({equal} are equal); keep one of them"
        return None

    def grid(self) -> tuple[Value, ...] | None:
        return tuple(map(own_copy, self.values))


Parameter = Float | Int | Choice


def _range_problem(low: float, high: float, log: bool, step: float | None) -> str | None:
    for name, bound in (("low", low), ("high", high)):
        if not isinstance(bound, int | float) or isinstance(bound, bool) or not math.isfinite(bound):
            return f"{name} is {bound!r}, which is not a finite number"
    if low > high:
        return f"low {low:g} is above high {high:g}; swap them"
    if log and low <= 0:
        return f"a log range needs low > 0, found {low:g}; raise low or drop log"
    if step is not None and (not isinstance(step, int | float) or isinstance(step, bool) or not 0 < step < math.inf):
        return f"step must be a finite number above 0, found {step!r}"
    if log and step is not None:
        return "a range cannot have both log and step; drop one of them"
    return _step_problem(low, high, step) if step is not None else None


def _step_problem(low: float, high: float, step: float) -> str | None:
    """Why steps from low do not end at high, with the two nearest ranges that fit; None if they do."""
    steps = (high - low) / step
    if abs(steps - round(steps)) < _TOLERANCE:
        return None
    fitting = [Decimal(str(low)) + count * Decimal(str(step)) for count in (math.floor(steps), math.ceil(steps))]
    ranges = " or ".join(f"{low:g} to {float(end):g}" for end in fitting)
    return f"steps of {step:g} from {low:g} do not end at {high:g}; use the range {ranges}, or another step"


def _last(ladder: Float | Int) -> int:
    """The index of the highest step, in decimal arithmetic: 0.1 to 0.3 in steps of 0.1 has three values."""
    low, high, step = (Decimal(str(number)) for number in (ladder.low, ladder.high, ladder.step))
    return round((high - low) / step)


def _nth(ladder: Float | Int, i: int) -> Decimal:
    return Decimal(str(ladder.low)) + min(i, _last(ladder)) * Decimal(str(ladder.step))


def _in_range(ladder: Float | Int, value: float) -> bool:
    if ladder.step is None:
        return ladder.low <= value <= ladder.high
    steps = (value - ladder.low) / ladder.step
    if not math.isfinite(steps) or abs(steps - round(steps)) >= _TOLERANCE:
        return False
    return 0 <= round(steps) <= _last(ladder)  # binary fractions: the last step may lie above `high` by a hair
