"""Optuna's samplers by name. A fresh one is made for each suggestion, seeded from (sweep seed, trial number).

So a suggestion depends only on the study and the trial's number: an interrupted and resumed sweep suggests the same
configurations as an uninterrupted one. A user's own sampler that learns in `after_trial` is the exception
(`learns_from_ends`): the study keeps one for the burst.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import optuna
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, NSGAIISampler, QMCSampler, RandomSampler, TPESampler

from raybayes.errors import SpecError
from raybayes.seeds import derive
from raybayes.space import Choice, Space
from raybayes.spec.component import GIVEN, Component
from raybayes.wording import unknown

SAMPLERS = ("tpe", "gp", "cmaes", "nsga2", "random", "grid")

Factory = Callable[[int], BaseSampler]
MANY_TRIALS = 250  # enough for the largest population that is chosen

_BUILT_IN: dict[str, type[BaseSampler]] = {
    "tpe": TPESampler,
    "gp": GPSampler,
    "cmaes": CmaEsSampler,
    "nsga2": NSGAIISampler,
    "random": RandomSampler,
}
# Their model has the numbers that every configuration has (GP: the choices too). Optuna draws all else uniformly; here
# TPE does, each parameter by itself, from the trials that have it.
_JOINT_ONLY = (GPSampler, CmaEsSampler)


def make_sampler_factory(
    sampler: Component, space: Space, seed: int, objectives: int, trials: int = MANY_TRIALS
) -> Factory:
    """A function that makes a freshly seeded sampler for a trial number.

    Args:
        trials: of the sweep; a population is chosen by it.

    Raises:
        SpecError: an unknown name or option, several objectives with a single-objective sampler, CMA-ES on a space
            without numbers.
    """
    if sampler.object is not None or GIVEN in sampler.options:
        return _given(sampler)
    kind = _resolve(sampler)
    _check_fit(kind, sampler, space, objectives)
    accepted = inspect.signature(kind).parameters
    if "seed" in sampler.options:
        raise SpecError(
            f"sampler {sampler.name}: its seed is derived from the sweep's; drop the option and use --seed."
        )
    if not any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in accepted.values()):
        for name in sampler.options:
            if name not in accepted:
                valid = [n for n in accepted if n != "seed"]
                raise SpecError(unknown("option", name, valid, owner=f"sampler {sampler.name} ({kind.__name__})"))
    options = {**_defaults(kind, space, sampler.options, trials), **sampler.options}

    def make(number: int) -> BaseSampler:
        # The points of a quasi-random sequence share one seed.
        place = ("sampler",) if issubclass(kind, QMCSampler) else ("sampler", number)
        seeded: dict[str, Any] = {"seed": derive(seed, *place) % 2**32} if "seed" in accepted else {}
        with warnings.catch_warnings():  # multivariate, group and GP have been "experimental" for years
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            if kind in _JOINT_ONLY and "independent_sampler" not in options:
                seeded["independent_sampler"] = TPESampler(
                    seed=derive(seed, *place, "rest") % 2**32, constant_liar=True
                )
            return kind(**options, **seeded)

    try:
        make(0)
    except (TypeError, ValueError) as error:
        raise SpecError(f"sampler {sampler}: {error}; check its options.") from None
    return make


def _defaults(kind: type[BaseSampler], space: Space, given: Mapping[str, Any], trials: int) -> dict[str, Any]:
    if kind is TPESampler:
        # Without group=True a multivariate TPE samples conditional parameters independently of the others.
        grouped = space.conditional and given.get("multivariate", True)
        return {"multivariate": True, "group": grouped, "constant_liar": True}
    if kind is NSGAIISampler:  # Optuna's 50 would make the first 50 trials a random search
        return {"population_size": min(50, max(8, trials // 5))}
    return {"warn_independent_sampling": False} if kind in _JOINT_ONLY else {}


def learns_from_ends(sampler: BaseSampler) -> bool:
    """Whether a sampler of a user's own has an `after_trial`: a fresh one per suggestion would learn nothing."""
    owner = next(kind for kind in type(sampler).__mro__ if "after_trial" in vars(kind))
    return not owner.__module__.startswith("optuna.")


def _given(sampler: Component) -> Factory:
    """One sampler object for all suggestions; its own seed holds, so a resumed sweep need not suggest the same."""
    if sampler.object is None:
        raise SpecError(
            f"sampler {sampler.name} was given as an object in Python, which is not stored; give it again: "
            "rb.resume(path, sampler=...)."
        )
    if not isinstance(sampler.object, BaseSampler):
        raise SpecError(f"sampler: found {sampler.object!r}; give a name, or an object that is an Optuna sampler.")
    return functools.partial(_same, sampler.object)


def _same(sampler: BaseSampler, number: int) -> BaseSampler:
    return sampler


def _resolve(sampler: Component) -> type[BaseSampler]:
    if sampler.name == "grid":  # Space.grid lists its points; the sampler draws nothing
        return RandomSampler
    if sampler.name in _BUILT_IN:
        return _BUILT_IN[sampler.name]
    module, _, name = sampler.name.rpartition(".")
    if not module:
        found = unknown(
            "sampler", sampler.name, SAMPLERS, shown=["auto", *SAMPLERS, "or the import path of an Optuna sampler"]
        )
        raise SpecError(found)
    try:
        kind = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise SpecError(f"sampler {sampler.name}: it cannot be imported ({error}); check the path.") from None
    if not (isinstance(kind, type) and issubclass(kind, BaseSampler)):
        raise SpecError(
            f"sampler {sampler.name}: found {kind!r}, which is not an Optuna sampler; give a subclass of BaseSampler."
        )
    return kind


def _check_fit(kind: type[BaseSampler], sampler: Component, space: Space, objectives: int) -> None:
    if issubclass(kind, CmaEsSampler):
        if objectives > 1:
            raise SpecError(f"sampler {sampler.name} supports one objective, found {objectives}; use nsga2, tpe or gp.")
        if all(isinstance(space[parameter], Choice) for parameter in space):
            raise SpecError(f"sampler {sampler.name} needs a Float or Int parameter; this space has none; use tpe.")
