"""Rewrites a command line for another machine: absolute paths and a fixed name of the sweep."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from raybayes.errors import SpecError
from raybayes.spec.yaml_files import read_yaml

_STARTING = ("sweep", "train")
_RESUMING = ("resume", "extend", "confirm")
_PATHS = ("--storage", "--data")


def remote_arguments(arguments: Sequence[str], cwd: Path, storage: str | None, name: str) -> list[str]:
    """The arguments of raybayes as the cluster runs them.

    Args:
        arguments: as the user wrote them.
        cwd: the folder that relative paths start from.
        storage: for sweeps without --storage; None: `runs` in `cwd`.
        name: of a sweep without --name: a requeued job must find the same sweep.

    Raises:
        SpecError: the command does not work on a sweep, or runs without Ray.
    """
    words = list(arguments[1:] if arguments[:1] == ["raybayes"] else arguments)
    if not words or words[0] not in (*_STARTING, *_RESUMING):
        allowed = ", ".join((*_STARTING, *_RESUMING))
        raise SpecError(f"submit: found {' '.join(words) or 'no command'!r}; write one of {allowed} after --.")
    if "--local" in words:
        raise SpecError("submit: --local runs without Ray, so it cannot be submitted; remove --local.")
    if words[0] in _RESUMING and len(words) > 1:
        words[1] = _absolute(words[1], cwd)
    words = [_absolute_option(words, i, cwd) for i in range(len(words))]
    if words[0] in _STARTING:
        given = _spec_file(words, cwd)
        if _value(words, "--storage") is None and "storage" not in given:
            words += ["--storage", _absolute(storage or "runs", cwd)]
        if _value(words, "--name") is None and "name" not in given:
            words += ["--name", name]
    return words


def project_of(arguments: Sequence[str]) -> str:
    """The project that a command starts, or the name of the folder that it resumes."""
    words = [word for word in arguments[1:] if not word.startswith("-")]
    return Path(words[0]).name if words else "sweep"


def sweep_name_of(arguments: Sequence[str]) -> str:
    """The name of the sweep that a command works on."""
    return _value(arguments, "--name") or project_of(arguments)


def _value(words: Sequence[str], option: str) -> str | None:
    for i, word in enumerate(words):
        if word == option and i + 1 < len(words):
            return words[i + 1]
        if word.startswith(f"{option}="):
            return word.partition("=")[2]
    return None


def _absolute(path: str, cwd: Path) -> str:
    if "://" in path:
        return path
    return str((cwd / Path(path).expanduser()).absolute())


def _absolute_option(words: Sequence[str], i: int, cwd: Path) -> str:
    option, equals, value = words[i].partition("=")
    if equals and option in _PATHS:
        return f"{option}={_absolute(value, cwd)}"
    return _absolute(words[i], cwd) if i and words[i - 1] in _PATHS else words[i]


def _spec_file(words: Sequence[str], cwd: Path) -> dict[str, object]:
    file = _value(words, "--spec")
    return read_yaml(str(cwd / file))[0] if file is not None else {}
