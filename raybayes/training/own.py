"""A training that is not in the catalogue: how its project is made, here, in a worker, and by a later burst."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from raybayes.contract import Direction, Project
from raybayes.errors import SpecError
from raybayes.space import Space
from raybayes.training import digest, function, script
from raybayes.training.reference import load_reference, source_file

Kind = Literal["function", "reference", "command"]


@dataclass(frozen=True)
class OwnTraining:
    """What makes a user's own training a project. Pickles by value where its function does.

    Args:
        kind: a function at hand, a reference to one, or a command.
        space: what is searched.
        objective: metrics to improve, with their directions; may be empty where a reference names a `Project`.
        constants: values by dotted names that all trials share.
        function: of the kind "function".
        Config: a pydantic model that the function gets in place of a dictionary.
        reference: `FILE.py:NAME` or `PACKAGE.MODULE:NAME`, of the kind "reference".
        command: words, of the kind "command".
        metrics: `NAME=PATTERN` texts, where the command does not print JSON.
        folder: where it was started: relative files are looked for here too.
        checkpoint_every: seconds, handed to a command.
    """

    kind: Kind
    space: Space
    objective: Mapping[str, Direction]
    constants: Mapping[str, Any] = field(default_factory=dict)
    function: Callable[..., Any] | None = None
    Config: type[BaseModel] | None = None
    reference: str = ""
    command: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    folder: str = ""
    checkpoint_every: float = 10.0

    @cached_property
    def project(self) -> Project:
        """The project. Raises SpecError with what is wrong with the training."""
        if self.kind == "command":
            patterns = script.patterns_of(self.metrics)
            return script.project_of(
                self.command, self.space, self.objective, self.constants, patterns, self.checkpoint_every
            )
        target = self.function if self.kind == "function" else load_reference(self.reference, self.folder)
        if isinstance(target, Project):
            return target
        if target is None:
            raise SpecError(f"the training {self.name} is not stored with its sweep; give it again: train=...")
        return function.project_of(target, self.space, self.objective, self.constants, self.Config)

    @property
    def name(self) -> str:
        """What a sweep of it is called by default."""
        if self.kind == "command":
            return script.title_of(self.command)
        if self.kind == "function" and self.function is not None:
            return function.title_of(self.function)
        return self.reference.rpartition(":")[2] or "function"

    def describe(self) -> dict[str, Any]:
        """What sweep.yaml keeps of it: all but the function itself."""
        found: dict[str, Any] = {"kind": self.kind, "objective": dict(self.objective)}
        if self.reference:
            found |= {"reference": self.reference, "folder": self.folder}
        if self.command:
            found |= {"command": list(self.command), "metrics": list(self.metrics), "folder": self.folder}
        return found

    def digests(self) -> tuple[dict[str, str], Path]:
        """Digests of its sources by file, and the folder where these lie; see `raybayes.training.digest`."""
        if self.kind == "command":
            files = [Path(word) for word in self.command if word.endswith(".py") and Path(word).is_file()]
            root = files[0].resolve().parent if files else Path.cwd()
            return digest.file_digests(files, root), root
        if self.kind == "reference":
            source = source_file(self.reference, self.folder)
            if source is not None:
                return digest.file_digests([source], source.parent), source.parent
            target = load_reference(self.reference, self.folder)
            return digest.function_digests(target.train if isinstance(target, Project) else target)
        assert self.function is not None
        return digest.function_digests(self.function)


def from_description(
    stored: Mapping[str, Any], space: Space, constants: Mapping[str, Any], train: Any = None
) -> OwnTraining:
    """The training of a sweep that an earlier burst has begun.

    Args:
        stored: what `OwnTraining.describe` gave.
        space, constants: the sweep's own.
        train: the function, given again; needed where the sweep was begun with one that has no name.

    Raises:
        SpecError: it was begun with a function, and `train` is missing.
    """
    kind: Kind = stored["kind"]
    if kind == "function" and train is None:
        raise SpecError(
            "this sweep trains a function that was given in Python and is not stored with it; "
            "resume it from Python with the function: rb.resume(path, train=...)."
        )
    return OwnTraining(
        kind="function" if train is not None else kind,
        space=space,
        objective=stored["objective"],
        constants=constants,
        function=train,
        reference="" if train is not None else stored.get("reference", ""),
        command=tuple(stored.get("command", ())),
        metrics=tuple(stored.get("metrics", ())),
        folder=stored.get("folder", ""),
    )


def as_space(space: Any) -> Space:
    """A space from what a caller gives: a Space, or a mapping of ranges by name. SpecError for anything else."""
    if isinstance(space, Space):
        return space
    if isinstance(space, Mapping):
        return Space(dict(space))
    raise SpecError(f'space: found {space!r}; give {{"lr": rb.Float(1e-4, 1, log=True)}} or an rb.Space.')


def as_objective(objective: Any) -> dict[str, Direction]:
    """Metrics with directions from what a caller gives: a mapping, or texts `loss:minimize`. SpecError otherwise."""
    if isinstance(objective, str):
        objective = [part for part in objective.split(",") if part.strip()]
    if isinstance(objective, Sequence):
        pairs = [str(text).partition(":") for text in objective]
        objective = {name.strip(): direction.strip() for name, _, direction in pairs}
    if not isinstance(objective, Mapping):
        raise SpecError(f'objective: found {objective!r}; give {{"loss": "minimize"}}, or loss:minimize.')
    function.require_directions(objective)
    return dict(objective)
