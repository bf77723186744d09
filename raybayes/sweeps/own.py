"""From what a caller gives to train, to a training: a function, a reference, a command, or the name of a project."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from raybayes.contract import Project
from raybayes.errors import SpecError
from raybayes.space import Space
from raybayes.sweeps.results import SweepResult
from raybayes.training.own import OwnTraining, as_objective, as_space, from_description
from raybayes.training.reference import is_reference, load_reference

Trainable = str | Callable[..., Any] | Sequence[str]


def own_training(
    trained: Trainable, options: Mapping[str, Any], Config: type[BaseModel] | None = None, metrics: Sequence[str] = ()
) -> tuple[OwnTraining | None, dict[str, Any]]:
    """The training that a call or command line names, and the other options of it.

    Args:
        trained: a project's name, `FILE.py:NAME`, `PACKAGE.MODULE:NAME`, a function, or the words of a command.
        options: as they were given; `space` and `objective` describe a training that is not in the catalogue.
        Config: a pydantic model for a function's configuration.
        metrics: patterns of a command's metrics.

    Returns:
        None for a project of the catalogue, and the options as `make_spec` takes them.

    Raises:
        SpecError: what is missing or wrong with it.
    """
    values = dict(options)
    if isinstance(trained, str) and not is_reference(trained):
        return None, {**values, "project": trained}
    constants = dict(values.get("config") or {})
    space = _space(values.pop("space", None), constants)
    target = load_reference(trained) if isinstance(trained, str) else trained
    objective = values.pop("objective", None)
    if isinstance(target, Project):
        values |= {} if objective is None else {"objective": objective}
        known = {metric.name: metric.direction for metric in target.metrics}
        described = {target.metrics[0].name: target.metrics[0].direction, **known}
    else:
        described = as_objective(objective if objective is not None else {})
        values["objective"] = tuple(described)
    given: dict[str, Any] = {"space": space, "objective": described, "constants": constants, "folder": str(Path.cwd())}
    if isinstance(trained, str):
        training = OwnTraining("reference", reference=trained, Config=Config, **given)
    elif callable(trained):
        training = OwnTraining("function", function=trained, Config=Config, **given)
    elif isinstance(trained, Sequence):
        training = OwnTraining("command", command=tuple(map(str, trained)), metrics=tuple(metrics), **given)
    else:
        raise SpecError(f"train: found {trained!r}; give a project's name, a function, or the words of a command.")
    return training, {**values, "project": training.name}


def untrained_of(title: str, values: Mapping[str, Any]) -> OwnTraining:
    """Stands for a training that is not at hand, of which the space and the objective are given.

    Raises:
        SpecError: one of the two is missing or unreadable.
    """
    constants = dict(values.get("config") or {})
    if "space" not in values or "objective" not in values:
        raise SpecError(
            "give a project, or the space and the objective of your own training: --space FILE.py:NAME (or --param "
            "lr=log:1e-4..1) and --objective loss:minimize."
        )

    def train(config: Mapping[str, Any]) -> float:
        raise SpecError(f"{title} was imported without its training; give it: rb.extend(path, trials, train=...).")

    train.__name__ = title
    space, objective = _space(values["space"], constants), as_objective(values["objective"])
    return OwnTraining("function", space=space, objective=objective, constants=constants, function=train)


def _space(space: Any, constants: Mapping[str, Any]) -> Space:
    """The ranges of a training that is not in the catalogue."""
    if isinstance(space, str) and is_reference(space):
        space = load_reference(space)
    if space is None or space == "SPACE":
        return Space({})
    found = as_space(space)
    if both := [name for name in found if name in constants]:
        raise SpecError(f"{both[0]} is searched and fixed; drop it from the space, or from config (-s).")
    return found


def stored_training(
    found: SweepResult, train: Callable[..., Any] | None = None, space: Space | None = None
) -> OwnTraining | None:
    """The training of a sweep that an earlier burst has begun; None if it is a project of the catalogue.

    Args:
        train: the function, given again.
        space: the space, given again.
    """
    stored = found.spec.training
    if stored is None:
        if train is not None:
            raise SpecError(f"train: {found.path} trains the project {found.spec.project}; leave train out.")
        return None
    searched = found.space if space is None else as_space(space).without(found.spec.config)
    return from_description(stored, searched, found.spec.config, train)


def require_whole(training: OwnTraining | None) -> None:
    """SpecError if a limit of the space is a function, which no sweep stores."""
    lost = None if training is None else next((limit for limit in training.space.requirements if limit.lost), None)
    if lost is not None:
        raise SpecError(
            f"the limit {lost.shown} of this sweep is a function, which is not stored with it; give its space again, "
            "from Python: rb.resume(path, space=...)."
        )
