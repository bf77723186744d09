"""Uniform draws from a space, and how far apart two of its configurations are."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping
from typing import Any

from raybayes.space.parameters import Choice, Parameter
from raybayes.space.space import Space
from raybayes.space.values import Value, as_key, own_copy


def draw_value(parameter: Parameter, rng: random.Random) -> Value:
    """A value, uniform in the range or, of a log range, in the logarithm."""
    if isinstance(parameter, Choice):
        drawn: Value = own_copy(rng.choice(parameter.values))
        return drawn
    if parameter.log:
        return parameter.nearest(math.exp(rng.uniform(math.log(parameter.low), math.log(parameter.high))))
    if parameter.step is not None:  # all steps are equally likely, including both ends
        count = round((parameter.high - parameter.low) / parameter.step) + 1
        return parameter.nearest(parameter.low + rng.randrange(count) * parameter.step)
    return parameter.nearest(rng.uniform(parameter.low, parameter.high))


def draw_configurations(
    space: Space, rng: random.Random, fixed: Mapping[str, Any], draws: int
) -> Iterator[dict[str, Value]]:
    """The allowed ones among `draws` uniform configurations with some values fixed."""
    for _ in range(draws):
        values: dict[str, Value] = {}
        for name in space:
            if space.is_active(name, values):
                values[name] = space[name].declared(fixed[name]) if name in fixed else draw_value(space[name], rng)
        if space.broken_requirement(values) is None and has(values, fixed):
            yield values


def has(values: Mapping[str, Any], fixed: Mapping[str, Any]) -> bool:
    """Whether a configuration has these values, where they are active."""
    return all(name not in values or as_key(values[name]) == as_key(value) for name, value in fixed.items())


def distance(space: Space, one: Mapping[str, Any], other: Mapping[str, Any]) -> float:
    """Distance of two configurations in [0, 1]: the mean over the parameters that either of them has.

    A number counts its difference as a share of the range (in the logarithm for a log range), a choice 0 or 1, and a
    parameter that only one of them has 1.
    """
    names = [name for name in space if name in one or name in other]
    parts = [
        _parameter_distance(space[name], one[name], other[name]) if name in one and name in other else 1.0
        for name in names
    ]
    return math.fsum(parts) / len(parts) if parts else 0.0


def _parameter_distance(parameter: Parameter, one: Any, other: Any) -> float:
    if isinstance(parameter, Choice):
        return float(as_key(one) != as_key(other))
    scale = math.log if parameter.log else float
    width = scale(parameter.high) - scale(parameter.low)
    return abs(scale(one) - scale(other)) / width if width else 0.0
