"""Population-based training (Jaderberg et al., 2017, arXiv 1711.09846) as pure functions.

It searches by itself: members of a population train side by side; at every `interval` a member among the worst
ends (PRUNED) and a new trial takes its place, which starts from the checkpoint of one of the best members with a
perturbed configuration. So each configuration is a trial of its own, and the study tells who descends from whom.
"""

from __future__ import annotations

import math
import random
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from raybayes.errors import SpecError
from raybayes.search.schedulers.rungs import Curves, read_options
from raybayes.seeds import derive
from raybayes.space import Choice, Space, Value
from raybayes.spec.component import Component


@dataclass(frozen=True)
class Population:
    """The rules of the population.

    Args:
        size: members that train side by side.
        interval: reports between two looks at the ranking.
        quantile: share of the population that counts as worst, and as best.
        resample: probability that a perturbed parameter is drawn anew from its range.
        factor: a number is otherwise multiplied by `factor` or divided by it.
    """

    size: int = 8
    interval: int = 2
    quantile: float = 0.25
    resample: float = 0.25
    factor: float = 1.25

    @property
    def least(self) -> int:
        """Members that must have reached a step before they are ranked there."""
        return max(2, math.ceil(1 / self.quantile))

    def parent(self, curves: Curves, trial: int, step: int, seed: int, alive: Collection[int]) -> int | None:
        """Which of the trials `alive` (not ended yet) lends its checkpoint in place of this one; None: it goes on."""
        rivals = curves.by_step[step]
        count = math.floor(len(rivals) * self.quantile)
        if step % self.interval or len(rivals) < self.least or trial not in rivals:
            return None
        ranked = sorted(rivals, key=lambda other: (rivals[other], other))
        if trial not in ranked[-count:] or rivals[trial] == rivals[ranked[0]]:
            return None
        lenders = [other for other in ranked[:count] if other in alive]
        return random.Random(derive(seed, "exploit", trial, step)).choice(lenders) if lenders else None

    def perturbed(self, space: Space, params: Mapping[str, Value], seed: int) -> dict[str, Value]:
        """A configuration near `params`: names that exist stay, unless a Choice that others depend on is redrawn."""
        rng = random.Random(seed)
        child: dict[str, Value] = {}
        for name in space:
            if space.is_active(name, child):
                redraw = name not in params or rng.random() < self.resample
                child[name] = _draw(space, name, rng) if redraw else self._shifted(space, name, params[name], rng)
        return child

    def _shifted(self, space: Space, name: str, value: Value, rng: random.Random) -> Value:
        parameter = space[name]
        if isinstance(parameter, Choice) or not isinstance(value, int | float):
            return value
        moved = value * (self.factor if rng.random() < 0.5 else 1 / self.factor)
        near = parameter.nearest(moved)
        if near == value and parameter.step is not None:  # a small integer must not stay for ever
            near = parameter.nearest(value + math.copysign(parameter.step, moved - value))
        return near


def _draw(space: Space, name: str, rng: random.Random) -> Value:
    parameter = space[name]
    if isinstance(parameter, Choice):
        return rng.choice(parameter.values)
    if parameter.log:
        return parameter.nearest(math.exp(rng.uniform(math.log(parameter.low), math.log(parameter.high))))
    if parameter.step is not None:  # each step is as likely as any other, the ends included
        count = round((parameter.nearest(parameter.high) - parameter.low) / parameter.step) + 1
        return parameter.nearest(parameter.low + rng.randrange(count) * parameter.step)
    return parameter.nearest(rng.uniform(parameter.low, parameter.high))


def make_population(scheduler: Component, sampler: Component, space: Space, objectives: int) -> Population:
    """The population that `--scheduler pbt:...` asks for.

    Raises:
        SpecError: a sampler was chosen beside it, several objectives, an option out of range, nothing to perturb.
    """
    if sampler.name not in ("tpe", "random"):
        raise SpecError(
            f"scheduler pbt searches by itself, so sampler {sampler.name} would have no say; drop --sampler."
        )
    if objectives > 1:
        raise SpecError("scheduler pbt ranks by one objective; name one with --objective.")
    if not len(space):
        raise SpecError("scheduler pbt has nothing to perturb: every parameter is fixed; free one of them.")
    made = Population(**read_options("scheduler", scheduler, Population))  # type: ignore[arg-type]
    if made.quantile > 0.5:
        raise SpecError(f"scheduler pbt: quantile = {made.quantile}; the worst and the best must not overlap (<= 0.5).")
    if made.resample > 1:
        raise SpecError(f"scheduler pbt: resample = {made.resample}; it is a share between 0 and 1.")
    if made.size < made.least:
        raise SpecError(
            f"scheduler pbt: size = {made.size}; a quantile of {made.quantile} needs at least {made.least} members."
        )
    return made
