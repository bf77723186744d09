"""What code the folder of a sweep may have run: anybody who can write to a shared disk can write a sweep.yaml."""

from __future__ import annotations

from pathlib import Path

from raybayes import catalog
from raybayes.errors import SpecError
from raybayes.spec.component import GIVEN
from raybayes.sweeps.results import SweepResult


def require_trusted(found: SweepResult, allowed: str | None) -> None:
    """Refuse code that a folder names and the caller does not.

    A sampler by its import path is imported if it is Optuna's own, the project's, or named by the caller. A user's own
    training is run if the folder is the caller's own, or the caller names it.

    Args:
        allowed: modules, packages and files that the caller names, joined by commas.

    Raises:
        SpecError: what the folder would have run, and how to allow it.
    """
    names = [name.strip() for name in (allowed or "").split(",") if name.strip()]
    for part in (found.spec.sampler, found.spec.scheduler):
        if (
            "." in part.name
            and GIVEN not in part.options
            and not _is_within(part.name, ["optuna", *_project_packages(found), *names])
        ):
            raise SpecError(
                f"{found.path}: its sweep.yaml names {part.name}, which would be imported; allowed are Optuna's own, "
                f"the project's and what you name: --allow-import {part.name.rpartition('.')[0]}."
            )
    training = found.spec.training or {}
    words = [training["reference"]] if "reference" in training else list(training.get("command", ()))
    if words and found.owner is not None and not any(_names(name, word) for name in names for word in words):
        raise SpecError(
            f"{found.path}: this folder belongs to {found.owner}, and its sweep.yaml names code to run: "
            f"{' '.join(map(str, words))}. Look at it, then name it: --allow-import {_shortest(words)}."
        )


def _project_packages(found: SweepResult) -> list[str]:
    """The package of the sweep's project: `trainables.flows`."""
    if found.spec.training is not None or found.spec.kind == "replay":
        return []
    module = catalog.load_project(found.spec.project).train.__module__.split(".")
    return [".".join(module[: 2 if module[0] == "trainables" else 1])]


def _is_within(path: str, packages: list[str]) -> bool:
    return any(f"{path}.".startswith(f"{package}.") for package in packages)


def _names(name: str, word: str) -> bool:
    """Whether a name that the caller gives is this word of the training, or its file or module."""
    return name in (word, word.partition(":")[0], Path(word.partition(":")[0]).name)


def _shortest(words: list[str]) -> str:
    """The word to name: the reference, or the file of a command, else its program."""
    return next((word for word in words if word.partition(":")[0].endswith(".py")), words[0]).partition(":")[0]
