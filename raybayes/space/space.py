"""A search space: a flat table of parameters, some of which exist only under a condition."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from raybayes.errors import SpaceError
from raybayes.space.conditions import accepted_values, is_accepted, values_of_both, with_condition
from raybayes.space.descriptions import describe_parameter, parameter_from_description
from raybayes.space.parameters import Choice, Float, Int, Parameter
from raybayes.space.requirements import Predicate, Requirement
from raybayes.space.values import Value
from raybayes.wording import unknown

Accepted = dict[str, tuple[Any, ...]]  # by the name of another parameter: the values under which one exists


class Space:
    """A flat table of parameters. A condition (`when`) names other parameters and the values that they must have.

    Args:
        parameters: ranges by name.
        require: limits that every configuration keeps: expressions such as "lr_min < lr", or functions that get the
            active parameters and return whether they are allowed (`raybayes.space.requirements`).

    Raises:
        SpaceError: a range is empty, or a condition or limit names an unknown parameter or a value that it cannot have,
            or conditions form a cycle. The message names the parameter.
    """

    def __init__(
        self, parameters: Mapping[str, Parameter], require: Sequence[str | Predicate | Requirement] | str = ()
    ) -> None:
        self._parameters = dict(parameters)
        for name, parameter in self._parameters.items():
            if not isinstance(parameter, Float | Int | Choice):
                raise SpaceError(f"{name}: {parameter!r} is not a range; use Float, Int or Choice.")
            if problem := parameter.problem() or self._condition_problem(parameter):
                raise SpaceError(f"{name}: {problem}.")
        self._accepted = {name: self._accepted_by(parameter) for name, parameter in self._parameters.items()}
        self._order = self._by_dependence()
        wanted = [require] if isinstance(require, str) or callable(require) else require
        self.requirements = tuple(dict.fromkeys(map(Requirement.of, wanted)))
        for requirement in self.requirements:
            requirement.require_names(self._parameters)

    def _accepted_by(self, parameter: Parameter) -> Accepted:
        when = parameter.when or {}
        return {other: accepted_values(wanted, self._parameters[other]) for other, wanted in when.items()}

    def _condition_problem(self, parameter: Parameter) -> str | None:
        for other in parameter.when or {}:
            if other not in self._parameters:
                return f"when= names an {unknown('parameter', other, self._parameters).rstrip('.')}"
        for other, accepted in self._accepted_by(parameter).items():
            if not accepted:
                return f"when= has no value for {other}; give at least one"
            for value in accepted:
                if not self._parameters[other].contains(value):
                    return f"when= needs {other} = {value!r}, which {self._parameters[other]!r} cannot have"
        return None

    def _by_dependence(self) -> tuple[str, ...]:
        """Names in the order of the table, except that a parameter comes after those that its condition names."""
        order: list[str] = []
        waiting = list(self._parameters)
        while waiting:
            ready = [n for n in waiting if all(other in order for other in self._accepted[n])]
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
        limits = f", require={[limit.shown for limit in self.requirements]!r}" if self.requirements else ""
        return f"Space({{\n{body}}}{limits})"

    @property
    def conditional(self) -> bool:
        """Whether a parameter has a condition."""
        return any(parameter.when for parameter in self._parameters.values())

    def is_active(self, name: str, values: Mapping[str, Any]) -> bool:
        """Whether the parameter's condition holds, given the values of those before it."""
        when = self._accepted[name]
        return all(other in values and is_accepted(values[other], accepted) for other, accepted in when.items())

    def accepted(self, name: str) -> Accepted:
        """The values of other parameters under which this one exists; empty if it always does."""
        return dict(self._accepted[name])

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
        replaces it; if it cannot hold, the parameter is removed. Limits know the fixed values.
        """
        left: dict[str, Parameter] = {}
        gone: dict[str, Accepted | None] = {}  # the rest of the condition of removed parameters; None: it never holds
        for name in self._order:
            when = self._decided(name, fixed, gone)
            if name in fixed or when is None:
                gone[name] = when
            else:
                left[name] = with_condition(self._parameters[name], when)
        for limit in (each.under(fixed) for each in self.requirements):
            if not limit.lost and limit.predicate is None and not limit.names and not limit.evaluate({}):
                raise SpaceError(f"require {limit.shown!r} does not hold for {limit.values_of({})}.")
        return Space(left, _limits_left(self.requirements, fixed, left))

    def _decided(self, name: str, fixed: Mapping[str, Any], gone: Mapping[str, Accepted | None]) -> Accepted | None:
        when: Accepted = {}
        for other, wanted in self._accepted[name].items():
            inherited: Accepted | None = {other: wanted}
            if other in gone:
                inherited = gone[other]
                if inherited is None or not is_accepted(fixed[other], wanted):
                    return None
            for ancestor, values in (inherited or {}).items():
                when[ancestor] = values_of_both(when[ancestor], values) if ancestor in when else values
                if not when[ancestor]:
                    return None
        return when

    def requiring(self, more: Sequence[str | Predicate | Requirement], fixed: Mapping[str, Any]) -> Space:
        """The same space with more limits, which may name fixed values too."""
        known = {name: value for name, value in fixed.items() if name not in self}
        made = [Requirement.of(each).under(known) for each in more]
        return Space(self._parameters, [*self.requirements, *made])

    def outside(self, values: Mapping[str, Any]) -> str | None:
        """Why a configuration is not in the space, limits apart; None if it is."""
        for name in self.active(values):
            if name not in values:
                return f"{name} has no value"
            if not self._parameters[name].contains(values[name]):
                return f"{name}: found {values[name]!r}; {self._parameters[name].allowed()}"
        return None

    def broken_requirement(self, values: Mapping[str, Any]) -> str | None:
        """The first limit that a configuration breaks, with the values it looks at; None if it keeps all."""
        for requirement in self.requirements:
            if not requirement.holds(values):
                return f"require {requirement.shown!r} does not hold for {requirement.values_of(values)}"
        return None

    def problem(self, values: Mapping[str, Any]) -> str | None:
        """Why a configuration cannot be tried; None if it can."""
        return self.outside(values) or self.broken_requirement(values)

    @property
    def finite(self) -> bool:
        """Whether there are finitely many configurations."""
        return all(parameter.grid() is not None for parameter in self._parameters.values())

    def leaves(self) -> Iterator[dict[str, Value] | None]:
        """All configurations of a finite space, and None for each that breaks a limit, in the order of the table."""
        return self._leaves(self._order, {})

    def _leaves(self, names: Sequence[str], values: dict[str, Value]) -> Iterator[dict[str, Value] | None]:
        if not names:
            yield values if all(limit.holds(values) for limit in self.requirements) else None
        elif self.is_active(names[0], values):
            for value in self._parameters[names[0]].grid() or ():
                yield from self._leaves(names[1:], {**values, names[0]: value})
        else:
            yield from self._leaves(names[1:], values)

    def grid(self) -> list[dict[str, Value]]:
        """All configurations, conditional parameters where they are active. SpaceError if a range is continuous."""
        for name in self._order:
            if self._parameters[name].grid() is None:
                raise SpaceError(f"{name}: {self._parameters[name]!r} has infinitely many values; a grid needs step=.")
        return [values for values in self.leaves() if values is not None]

    def constants(self) -> dict[str, Value]:
        """Parameters with one value and no condition: they are part of every configuration."""
        grids = {name: self._parameters[name].grid() for name in self._order if not self._parameters[name].when}
        return {name: grid[0] for name, grid in grids.items() if grid is not None and len(grid) == 1}

    def describe(self) -> dict[str, dict[str, Any]]:
        """Plain values for YAML and JSON, in the order of the table; `limits` are apart."""
        return {name: describe_parameter(one, self._accepted[name]) for name, one in self._parameters.items()}

    @property
    def limits(self) -> tuple[str, ...]:
        """The limits as plain texts."""
        return tuple(requirement.text for requirement in self.requirements)

    @classmethod
    def from_description(
        cls, table: Mapping[str, Mapping[str, Any]], limits: Sequence[str] = (), fixed: Mapping[str, Any] | None = None
    ) -> Space:
        """The inverse of `describe` and `limits`; what is fixed is known to the limits and not in the table."""
        parameters = {name: parameter_from_description(name, entry) for name, entry in table.items()}
        return cls(parameters, _limits_left(map(Requirement.of, limits), fixed or {}, parameters))

    def differences(self, other: Space) -> list[str]:
        """The parameters that differ in `other`, one "name: range here -> range there" each; empty if none does."""
        here, there = self.describe(), other.describe()
        pairs = {name: (here.get(name), there.get(name)) for name in {**here, **there}}
        # As JSON, because 1 and True are equal as Python values and are not the same choice.
        changed = {name: pair for name, pair in pairs.items() if json.dumps(pair[0]) != json.dumps(pair[1])}
        shown = [f"{name}: {old or 'absent'} -> {new or 'absent'}" for name, (old, new) in changed.items()]
        if set(self.limits) != set(other.limits):
            shown.append(f"require: {list(self.limits)} -> {list(other.limits)}")
        return shown

    def digest(self) -> str:
        """16 hex digits that change when the space changes."""
        described = json.dumps(
            [self.describe(), sorted(self.limits)] if self.limits else self.describe(), sort_keys=True
        )
        return hashlib.sha256(described.encode()).hexdigest()[:16]


def _limits_left(limits: Iterable[Requirement], fixed: Mapping[str, Any], left: Collection[str]) -> list[Requirement]:
    """The limits that still say something once some values are fixed and some parameters are gone."""
    known = [limit.under(fixed) for limit in limits]
    return [
        limit
        for limit in known
        if limit.predicate is not None or limit.lost or (limit.names and all(name in left for name in limit.names))
    ]
