"""Population-based training (Jaderberg et al., 2017, arXiv 1711.09846) as pure functions.

It is scheduler and sampler in one: the members of a population train concurrently; at every `interval`, a member among
the worst stops (PRUNED) and a new trial replaces it, starting from the checkpoint of one of the best members with a
perturbed configuration. So each configuration is a trial of its own, and the study records each trial's parent.
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
from raybayes.space.sampling import draw_value
from raybayes.spec.component import Component


@dataclass(frozen=True)
class Population:
    """The rules of population-based training.

    Args:
        size: members that train concurrently.
        interval: reports between two rankings.
        quantile: share of the population that counts as the worst, and as the best.
        resample: probability that a perturbed parameter is drawn from its range again.
        factor: otherwise a number is multiplied or divided by `factor`.
    """

    size: int = 8
    interval: int = 2
    quantile: float = 0.25
    resample: float = 0.25
    factor: float = 1.25

    @property
    def min_ranked(self) -> int:
        """Number of members that must reach a step before they are ranked there."""
        return max(2, math.ceil(1 / self.quantile))

    def choose_parent(self, curves: Curves, trial: int, step: int, seed: int, alive: Collection[int]) -> int | None:
        """The trial of `alive` (not ended yet) whose checkpoint replaces this trial; None if this trial continues."""
        rivals = curves.by_step[step]
        count = math.floor(len(rivals) * self.quantile)
        if step % self.interval or len(rivals) < self.min_ranked or trial not in rivals:
            return None
        ranked = sorted(rivals, key=lambda other: (rivals[other], other))
        if trial not in ranked[-count:] or rivals[trial] == rivals[ranked[0]]:
            return None
        lenders = [other for other in ranked[:count] if other in alive]
        return random.Random(derive(seed, "exploit", trial, step)).choice(lenders) if lenders else None

    def perturb(self, space: Space, params: Mapping[str, Value], seed: int) -> dict[str, Value]:
        """A configuration near `params`; parameters come and go only with a redrawn Choice that they depend on."""
        rng = random.Random(seed)
        child: dict[str, Value] = {}
        for name in space:
            if space.is_active(name, child):
                redraw = name not in params or rng.random() < self.resample
                child[name] = draw_value(space[name], rng) if redraw else self._shifted(space, name, params[name], rng)
        return child

    def _shifted(self, space: Space, name: str, value: Value, rng: random.Random) -> Value:
        parameter = space[name]
        if isinstance(parameter, Choice) or not isinstance(value, int | float):
            return value
        moved = value * (self.factor if rng.random() < 0.5 else 1 / self.factor)
        near = parameter.nearest(moved)
        if near == value and parameter.step is not None:  # rounding must not keep a small integer for ever
            near = parameter.nearest(value + math.copysign(parameter.step, moved - value))
        return near


def make_population(scheduler: Component, sampler: Component, space: Space, objectives: int) -> Population:
    """The population that `--scheduler pbt:...` asks for.

    Raises:
        SpecError: a sampler was chosen as well, several objectives, an option out of range, nothing to perturb.
    """
    if sampler.name not in ("tpe", "random"):
        raise SpecError(
            f"scheduler pbt is also the sampler, so --sampler {sampler.name} has no effect; drop --sampler."
        )
    if objectives > 1:
        raise SpecError("scheduler pbt supports one objective; choose it with --objective.")
    if not len(space):
        raise SpecError("scheduler pbt has no parameter to perturb: all are fixed; leave at least one free.")
    made = Population(**read_options("scheduler", scheduler, Population))  # type: ignore[arg-type]
    if made.quantile > 0.5:
        raise SpecError(
            f"scheduler pbt: quantile = {made.quantile}; it must be at most 0.5, or the worst and the best overlap."
        )
    if made.resample > 1:
        raise SpecError(f"scheduler pbt: resample = {made.resample}; it must be between 0 and 1.")
    if made.size < made.min_ranked:
        raise SpecError(
            f"scheduler pbt: size = {made.size}; quantile = {made.quantile} needs at least {made.min_ranked} members."
        )
    return made
