"""`--sampler auto`: the sampler by what `benchmarks.samplers` has measured (docs/samplers.md)."""

from __future__ import annotations

from raybayes.errors import SpecError
from raybayes.space import Choice, Space
from raybayes.spec.component import Component

GP_TRIALS = 100  # beyond, a Gaussian process costs more than it was measured to gain
GP_PARAMETERS = 20
GP_SLOTS = 8


def choose_sampler(
    asked: Component, space: Space, trials: int, objectives: int, slots: int | None, pruning: bool
) -> Component:
    """The sampler that `asked`, which is named "auto", stands for.

    Args:
        space: the searched parameters, without the fixed ones.
        slots: trials at once, if the user has limited them.
        pruning: whether a scheduler stops trials, which a Gaussian process would not see.

    Raises:
        SpecError: `asked` has options, which belong to one sampler.
    """
    if asked.options:
        raise SpecError(
            f"sampler {asked}: auto has no option {next(iter(asked.options))!r}; name the sampler that has it."
        )
    if _can_be_covered(space, trials):
        return Component(name="grid")
    numbers = not any(isinstance(space[name], Choice) for name in space)
    small = trials <= GP_TRIALS and len(space) <= GP_PARAMETERS and (slots is None or slots <= GP_SLOTS)
    if numbers and not space.conditional and objectives == 1 and small and not pruning:
        return Component(name="gp")
    return Component(name="tpe")


def _can_be_covered(space: Space, trials: int) -> bool:
    """Whether there are no more configurations than trials."""
    sizes = [space[name].grid() for name in space]
    if not sizes or any(values is None for values in sizes):
        return False
    largest = max(len(values or ()) for values in sizes)
    return largest <= trials and len(space.grid()) <= trials
