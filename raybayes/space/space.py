"""A search space: a flat table of parameters, some of which exist only under a condition."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Any

from raybayes.errors import SpaceError
from raybayes.space.conditions import accepted_values, values_of_both, with_condition
from raybayes.space.descriptions import describe_parameter, parameter_from_description
from raybayes.space.parameters import Choice, Float, Int, Parameter, Value, When
from raybayes.wording import unknown


class Space:
    """A flat table of parameters. A condition (`when`) names other parameters and the values that they must have.

    Raises:
        SpaceError: a range is empty, or a condition names an unknown parameter or a value that it cannot have, or
            conditions form a cycle. The message names the parameter.
    """

    def __init__(self, parameters: Mapping[str, Parameter]) -> None:
        self._parameters = dict(parameters)
        for name, parameter in self._parameters.items():
            if not isinstance(parameter, Float | Int | Choice):
                raise SpaceError(f"{name}: {parameter!r} is not a range; use Float, Int or Choice.")
            if problem := parameter.problem() or self._condition_problem(name, parameter):
                raise SpaceError(f"{name}: {problem}.")
        self._order = self._by_dependence()

    def _condition_problem(self, name: str, parameter: Parameter) -> str | None:
        for other, wanted in (parameter.when or {}).items():
            if other not in self._parameters:
                return f"when= names an {unknown('parameter', other, self._parameters).rstrip('.')}"
            if not accepted_values(wanted):
                return f"when= has no value for {other}; give at least one"
            for value in accepted_values(wanted):
                if not self._parameters[other].contains(value):
                    return f"when= needs {other} = {value!r}, which {self._parameters[other]!r} cannot have"
        return None

    def _by_dependence(self) -> tuple[str, ...]:
        """Names in the order of the table, except that a parameter comes after those that its condition names."""
        order: list[str] = []
        waiting = list(self._parameters)
        while waiting:
            ready = [n for n in waiting if all(other in order for other in self._parameters[n].when or {})]
            if not ready:
                raise SpaceError(f"the conditions of {', '.join(waiting)} form a cycle; remove one of them.")
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
        """Whether a parameter has a condition."""
        return any(parameter.when for parameter in self._parameters.values())

    def is_active(self, name: str, values: Mapping[str, Any]) -> bool:
        """Whether the parameter's condition holds, given the values of those before it."""
        when = self._parameters[name].when or {}
        return all(other in values and values[other] in accepted_values(wanted) for other, wanted in when.items())

    def active(self, values: Mapping[str, Any]) -> tuple[str, ...]:
        """Names of the parameters whose conditions hold under the given values."""
        present: dict[str, Any] = {}
        for name in self._order:
            if self.is_active(name, present):
                present[name] = values.get(name)
        return tuple(present)

    def without(self, fixed: Mapping[str, Any]) -> Space:
        """The rest of the space when some parameters are fixed.

        A condition on a fixed parameter is resolved: if it holds, the rest of the fixed parameter's own condition
        replaces it; if it cannot hold, the parameter is removed.
        """
        left: dict[str, Parameter] = {}
        gone: dict[str, When | None] = {}  # the rest of the condition of removed parameters; None: it never holds
        for name in self._order:
            when = self._decided(name, fixed, gone)
            if name in fixed or when is None:
                gone[name] = when
            else:
                left[name] = with_condition(self._parameters[name], when)
        return Space(left)

    def _decided(self, name: str, fixed: Mapping[str, Any], gone: Mapping[str, When | None]) -> When | None:
        when: dict[str, Any] = {}
        for other, wanted in (self._parameters[name].when or {}).items():
            inherited: When | None = {other: wanted}
            if other in gone:
                inherited = gone[other]
                if inherited is None or fixed[other] not in accepted_values(wanted):
                    return None
            for ancestor, values in (inherited or {}).items():
                when[ancestor] = values_of_both(when[ancestor], values) if ancestor in when else values
                if not accepted_values(when[ancestor]):
                    return None
        return when

    def outside(self, values: Mapping[str, Any]) -> str | None:
        """Why a configuration is not in the space; None if it is."""
        for name in self.active(values):
            if name not in values:
                return f"{name} has no value"
            if not self._parameters[name].contains(values[name]):
                return f"{name}: found {values[name]!r}; {self._parameters[name].allowed()}"
        return None

    def grid(self) -> list[dict[str, Value]]:
        """All configurations, conditional parameters where they are active. SpaceError if a range is continuous."""
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
        """Parameters with one value and no condition: they are part of every configuration."""
        grids = {name: self._parameters[name].grid() for name in self._order if not self._parameters[name].when}
        return {name: grid[0] for name, grid in grids.items() if grid is not None and len(grid) == 1}

    def describe(self) -> dict[str, dict[str, Any]]:
        """Plain values for YAML and JSON, in the order of the table."""
        return {name: describe_parameter(parameter) for name, parameter in self._parameters.items()}

    @classmethod
    def from_description(cls, table: Mapping[str, Mapping[str, Any]]) -> Space:
        """The inverse of `describe`."""
        return cls({name: parameter_from_description(name, entry) for name, entry in table.items()})

    def differences(self, other: Space) -> list[str]:
        """The parameters that differ in `other`, one "name: range here -> range there" each; empty if none does."""
        here, there = self.describe(), other.describe()
        pairs = {name: (here.get(name), there.get(name)) for name in {**here, **there}}
        # As JSON, because 1 and True are equal as Python values and are not the same choice.
        changed = {name: pair for name, pair in pairs.items() if json.dumps(pair[0]) != json.dumps(pair[1])}
        return [f"{name}: {old or 'absent'} -> {new or 'absent'}" for name, (old, new) in changed.items()]

    def digest(self) -> str:
        """16 hex digits that change when the space changes."""
        return hashlib.sha256(json.dumps(self.describe(), sort_keys=True).encode()).hexdigest()[:16]
