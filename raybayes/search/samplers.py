"""Optuna's samplers by name. A fresh one is made for each suggestion, seeded from (sweep seed, trial number).

So a suggestion depends on the study and the trial's number alone: a sweep that was interrupted and resumed
suggests what it would have suggested without the interruption.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import warnings
from collections.abc import Callable
from typing import Any

import optuna
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler

from raybayes.errors import SpecError
from raybayes.seeds import derive
from raybayes.space import Choice, Space
from raybayes.spec import Choice as Named

SAMPLERS = ("tpe", "gp", "cmaes", "nsga2", "random", "grid")

Factory = Callable[[int], BaseSampler]


def _tpe(space: Space) -> dict[str, Any]:
    # Without group=True a multivariate TPE samples conditional parameters independently of all others.
    return {"multivariate": True, "group": space.conditional, "constant_liar": True}


_BUILT_IN: dict[str, tuple[type[BaseSampler], Callable[[Space], dict[str, Any]]]] = {
    "tpe": (TPESampler, _tpe),
    "gp": (GPSampler, lambda space: {}),
    "cmaes": (CmaEsSampler, lambda space: {"warn_independent_sampling": False}),
    "nsga2": (NSGAIISampler, lambda space: {}),
    "random": (RandomSampler, lambda space: {}),
}


def sampler_factory(sampler: Named, space: Space, seed: int, objectives: int) -> Factory:
    """A function from trial number to a freshly seeded sampler.

    Raises:
        SpecError: unknown name, an option that the sampler does not take, several objectives with a sampler
            for one, CMA-ES on a space of names only.
    """
    kind, options = _resolve(sampler, space)
    _check_fit(sampler.name, space, objectives)
    accepted = inspect.signature(kind.__init__).parameters
    for name in sampler.options:
        if name not in accepted:
            known = ", ".join(n for n in accepted if n not in ("self", "seed"))
            raise SpecError(f"sampler {sampler.name}: {name} is no option of {kind.__name__}; it takes {known}.")
    options = {**options, **sampler.options}

    def make(number: int) -> BaseSampler:
        seeded = {"seed": derive(seed, "sampler", number) % 2**32} if "seed" in accepted else {}
        with warnings.catch_warnings():  # multivariate, group and GP are "experimental" since years
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return kind(**options, **seeded)

    try:
        make(0)
    except (TypeError, ValueError) as error:
        raise SpecError(f"sampler {sampler}: {error}; check its options.") from None
    return make


def _resolve(sampler: Named, space: Space) -> tuple[type[BaseSampler], dict[str, Any]]:
    if sampler.name == "grid":  # its points are listed by Space.grid; nothing is drawn
        return RandomSampler, {}
    if sampler.name in _BUILT_IN:
        kind, extra = _BUILT_IN[sampler.name]
        return kind, extra(space)
    module, _, name = sampler.name.rpartition(".")
    if not module:
        near = difflib.get_close_matches(sampler.name, SAMPLERS, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise SpecError(
            f"sampler {sampler.name!r} is unknown; {hint}Use {', '.join(SAMPLERS)}, or an Optuna sampler's import path."
        )
    try:
        kind = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise SpecError(f"sampler {sampler.name}: it cannot be imported ({error}); check the path.") from None
    if not (isinstance(kind, type) and issubclass(kind, BaseSampler)):
        raise SpecError(f"sampler {sampler.name}: found {kind!r}, which is no Optuna sampler.")
    return kind, {}


def _check_fit(name: str, space: Space, objectives: int) -> None:
    if name == "cmaes":
        if objectives > 1:
            raise SpecError("sampler cmaes handles one objective; use nsga2, tpe or gp for several.")
        if all(isinstance(space[parameter], Choice) for parameter in space):
            raise SpecError("sampler cmaes needs a Float or Int parameter, and this space has none; use tpe.")
