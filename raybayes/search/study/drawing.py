"""Draws configurations that can be tried: they keep the limits, and none is drawn twice while an untried one exists.

A sampler of Optuna knows neither: it suggests impossible points, which would fail, and in a finite space it suggests
the same point again and again (21 to 25 % of TPE's 200 suggestions at 8 slots), which would be trained again.
"""

from __future__ import annotations

import copy
import itertools
import json
import random
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Any

from optuna.samplers import GPSampler
from optuna.trial import FrozenTrial, Trial

from raybayes.errors import SpaceError
from raybayes.search.study.transfer_study import TransferStudy
from raybayes.space import Space, Value
from raybayes.space.sampling import distance, draw_configurations, has
from raybayes.space.values import as_key

LISTED = 20_000  # a space with more leaves is not listed
WALKED = 1_000_000  # leaves that are looked at, at most, for one that was not tried
_REDRAWS = 20  # by the sampler itself, before the nearest possible point takes the place of its first suggestion
_UNIFORM, _POOL = 20_000, 256  # uniform draws, and how many of those that can be tried are compared

Draw = Callable[[], dict[str, Value]]


def config_key(params: Mapping[str, Any]) -> str:
    """The same text for equal configurations."""
    return json.dumps({name: as_key(value) for name, value in params.items()}, sort_keys=True)


class Drawer:
    """Draws for one study, and remembers what it has.

    Args:
        space: what is searched.
        tried: the configurations of the study's trials.
    """

    def __init__(self, space: Space, tried: Iterable[Mapping[str, Any]]) -> None:
        self._space = space
        self._tried = {config_key(params) for params in tried}

    @cached_property
    def _all(self) -> list[dict[str, Value]] | None:
        return list_configurations(self._space)

    def add(self, params: Mapping[str, Any]) -> None:
        """A trial has this configuration."""
        self._tried.add(config_key(params))

    def draw(self, suggest: Draw, fixed: Mapping[str, Any], redraws: int = _REDRAWS) -> dict[str, Value]:
        """A configuration with the fixed values: the sampler's, or the nearest to it that can be tried.

        Args:
            suggest: asks the sampler once.
            redraws: how often the sampler is asked again.

        Raises:
            SpaceError: no configuration keeps the limits.
        """
        first = suggest()
        if all(name in fixed for name in first) and has(first, fixed):
            return first  # a planned configuration may repeat one
        new = self._space.finite and not (self._all is not None and len(self._tried) >= len(self._all))
        candidates = itertools.chain([first], (suggest() for _ in range(redraws)))
        repeat = None
        for candidate in candidates:
            if self._space.broken_requirement(candidate) is None and has(candidate, fixed):
                if not new or config_key(candidate) not in self._tried:
                    return candidate
                repeat = repeat or candidate
        rng = random.Random(config_key(first))  # the same in a resumed sweep
        return self._nearest(first, fixed, rng, new) or repeat or self._any(first, fixed, rng)

    def _nearest(
        self, first: Mapping[str, Value], fixed: Mapping[str, Any], rng: random.Random, new: bool
    ) -> dict[str, Value] | None:
        if self._all is not None:
            pool = [each for each in self._all if has(each, fixed) and self._fits(each, new)]
            pool = rng.sample(pool, min(_POOL, len(pool)))
        else:
            drawn = draw_configurations(self._space, rng, fixed, _UNIFORM)
            pool = list(itertools.islice((each for each in drawn if self._fits(each, new)), _POOL))
            if not pool and self._space.finite:
                leaves = itertools.islice(self._space.leaves(), WALKED)
                found = (each for each in leaves if each is not None and has(each, fixed) and self._fits(each, new))
                pool = list(itertools.islice(found, 1))
        return min(pool, key=lambda each: distance(self._space, first, each), default=None)

    def _fits(self, params: Mapping[str, Any], new: bool) -> bool:
        return not new or config_key(params) not in self._tried

    def _any(self, first: Mapping[str, Value], fixed: Mapping[str, Any], rng: random.Random) -> dict[str, Value]:
        found = self._nearest(first, fixed, rng, new=False)
        if found is None:
            raise SpaceError(impossible(self._space, fixed))
        return found


def list_configurations(space: Space) -> list[dict[str, Value]] | None:
    """All configurations of a finite space that keep its limits; None if there are too many to list."""
    if not space.finite:
        return None
    leaves = list(itertools.islice(space.leaves(), LISTED + 1))
    return None if len(leaves) > LISTED else [each for each in leaves if each is not None]


def impossible(space: Space, fixed: Mapping[str, Any]) -> str:
    """The sentence for a space in which no configuration keeps the limits."""
    limits = ", ".join(limit.shown for limit in space.requirements) or "its conditions"
    under = "".join(f" with {name} = {value!r}" for name, value in fixed.items())
    return f"no configuration of the space{under} keeps the limits ({limits}); widen a range, or drop a limit."


def require_possible(space: Space, fixed: Mapping[str, Any]) -> None:
    """SpaceError unless some configuration with these values keeps the limits, and all limits can be computed."""
    rng = random.Random(0)
    free = Space({name: space[name] for name in space})
    for values in draw_configurations(free, rng, {}, 64):
        for limit in space.requirements:
            limit.evaluate(values)
    if not space.requirements and not fixed:
        return
    if next(draw_configurations(space, rng, fixed, _UNIFORM), None) is not None:
        return
    leaves = itertools.islice(space.leaves(), WALKED) if space.finite else ()
    if not any(each is not None and has(each, fixed) for each in leaves):
        raise SpaceError(impossible(space, fixed))


class Suggestion:
    """A sampler's suggestions for one trial, of which none is stored.

    Args:
        study: what the sampler reads; the sampler is its own.
        trial: the trial, which the sampler has begun: it holds the first draw of what is drawn together.
        frozen: the same trial as samplers get it.
        space: what is searched.
        fixed: values that the sampler does not draw, in the declared types.
    """

    def __init__(
        self, study: TransferStudy, trial: Trial, frozen: FrozenTrial, space: Space, fixed: Mapping[str, Any]
    ) -> None:
        self._study, self._sampler, self._space, self._fixed = study, study.sampler, space, fixed
        self._first, self._trial = trial, copy.deepcopy(frozen)
        self._relative: Mapping[str, Any] | None = None  # of the current draw, once a parameter needs it
        self._drawn = False

    @property
    def redraws(self) -> int:
        """How often it is worth to ask again: a Gaussian process would find the same optimum, slowly."""
        return 0 if isinstance(self._sampler, GPSampler) else _REDRAWS

    def draw(self) -> dict[str, Value]:
        """The next suggestion, in the declared types."""
        self._relative = None
        params: dict[str, Value] = {}
        trial = copy.copy(self._trial)
        trial.params, trial.distributions = {}, {}
        for name in self._space:
            if self._space.is_active(name, params):
                stored = self._value(name, trial)
                params[name] = self._space[name].declared(stored)
                trial.params = {**trial.params, name: stored}
                trial.distributions = {**trial.distributions, name: self._study.distributions[name]}
        return params

    def _value(self, name: str, trial: FrozenTrial) -> Any:
        parameter, distribution = self._space[name], self._study.distributions[name]
        if name in self._fixed:
            return as_key(self._fixed[name])
        if distribution.single():
            return as_key((parameter.grid() or (None,))[0])
        relative = self._drawn_together()
        if name in relative:
            return relative[name]
        return self._sampler.sample_independent(self._study, trial, name, distribution)

    def _drawn_together(self) -> Mapping[str, Any]:
        """The parameters that the sampler draws at once: at first those of the trial itself, then others."""
        if self._relative is None:
            first = self._first.relative_params
            together = self._first.relative_search_space or {}
            again = self._drawn
            self._relative = self._sampler.sample_relative(self._study, self._trial, together) if again else first
            self._drawn = True
        return self._relative
