"""Finds projects and their search spaces by file name, and in other packages by entry point. There is no list to edit.

Looked at, in this order: `trainables/` and `search_spaces/` beside raybayes, the same two folders below the
current directory, and the entry points of the groups `raybayes.projects` and `raybayes.spaces`.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
import pkgutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel

from raybayes.contract import Project
from raybayes.errors import SpaceError, SpecError
from raybayes.space import Space
from raybayes.spec import build, flatten, nest, unknown_key

_GROUPS = {"trainables": "raybayes.projects", "search_spaces": "raybayes.spaces"}


def add_root(folder: str) -> None:
    """Let `folder/trainables` and `folder/search_spaces` take part in the catalogue."""
    for package in _GROUPS:
        inner = str(Path(folder).resolve() / package)
        if Path(inner).is_dir():
            known = importlib.import_module(package).__path__
            if inner not in known:
                known.append(inner)


def roots() -> tuple[str, ...]:
    """Folders that hold projects, to be added on other machines of the same file system."""
    add_root(str(Path.cwd()))
    return tuple(str(Path(path).parent) for path in importlib.import_module("trainables").__path__)


def _entry_points(package: str) -> dict[str, importlib.metadata.EntryPoint]:
    return {point.name: point for point in importlib.metadata.entry_points(group=_GROUPS[package])}


def _modules(package: str) -> set[str]:
    add_root(str(Path.cwd()))
    return {module.name for module in pkgutil.iter_modules(importlib.import_module(package).__path__)}


def project_names() -> list[str]:
    """Names of all projects; imports none of them."""
    return sorted(_modules("trainables") | set(_entry_points("trainables")))


def load_project(name: str) -> Project:
    """The project of that name. SpecError with all names, the nearest first, if there is none."""
    if name in _modules("trainables"):
        module = importlib.import_module(f"trainables.{name}")
        project = getattr(module, "PROJECT", None)
        place = f"trainables/{name}"
    elif name in (points := _entry_points("trainables")):
        project, place = points[name].load(), f"entry point {points[name].value}"
    else:
        near = difflib.get_close_matches(name, project_names(), n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise SpecError(f"there is no project {name!r}; {hint}Projects: {', '.join(project_names()) or 'none'}.")
    if not isinstance(project, Project):
        raise SpecError(f"{place}: found PROJECT = {project!r}; it must be a raybayes.contract.Project.")
    return project


def load_spaces(name: str) -> dict[str, Space]:
    """Every space that `search_spaces/<name>.py` declares, by its name in the file (SPACE, PAPER, ...)."""
    if name in _modules("search_spaces"):
        try:
            module: Any = importlib.import_module(f"search_spaces.{name}")
        except SpaceError as error:
            raise SpaceError(f"search_spaces/{name}.py: {error}") from None
    elif name in (points := _entry_points("search_spaces")):
        module = points[name].load()
    else:
        raise SpaceError(f"search_spaces/{name}.py does not exist; write it with SPACE = Space({{...}}).")
    return {key: value for key, value in vars(module).items() if isinstance(value, Space)}


def load_space(project: Project, space: str = "SPACE") -> Space:
    """One space of a project, every name of it checked against the project's Config."""
    spaces = load_spaces(project.name)
    if space not in spaces:
        near = difflib.get_close_matches(space, spaces, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise SpaceError(f"search_spaces/{project.name}.py has no space {space!r}; {hint}It has: {', '.join(spaces)}.")
    known = defaults(project)
    for name in spaces[space]:
        if name not in known:
            raise SpaceError(
                f"search_spaces/{project.name}.py: {space}: {unknown_key(project.Config, name.split('.'))}"
            )
    return spaces[space]


def defaults(project: Project) -> dict[str, Any]:
    """The project's default configuration by dotted names."""
    return flatten(build(project.Config, {}, f"{project.name} config"))


def configure(project: Project, values: Mapping[str, Any]) -> BaseModel:
    """The project's Config with some dotted names set. SpecError names every wrong field."""
    return build(project.Config, nest(values), f"{project.name} config")


def fixed_values(project: Project, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The user's settings, by dotted names, in the types that the Config gives them ("1e-3" becomes 0.001)."""
    config = flatten(configure(project, settings))
    groups = {name for name in nest(settings) if isinstance(nest(settings)[name], dict)}
    wanted = set(settings) | {name for name in config if any(name.startswith(f"{g}.") for g in groups & set(settings))}
    return {name: value for name, value in config.items() if name in wanted}


def documentation(project: Project) -> dict[str, tuple[str, str]]:
    """Type with range, and meaning, of each configuration key by dotted name."""
    return dict(_documented(project.Config, ""))


def _documented(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, tuple[str, str]]]:
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _documented(kind, f"{prefix}{name}.")
        else:
            choices = " | ".join(map(str, get_args(kind))) if get_origin(kind) is Literal else ""
            shown = choices or getattr(kind, "__name__", str(kind))
            yield f"{prefix}{name}", (f"{shown} {_bounds(field.metadata)}".strip(), field.description or "")


def _bounds(metadata: list[Any]) -> str:
    signs = {"Ge": (">=", "ge"), "Gt": (">", "gt"), "Le": ("<=", "le"), "Lt": ("<", "lt")}
    found = [(*signs[type(rule).__name__], rule) for rule in metadata if type(rule).__name__ in signs]
    return " ".join(f"{sign} {getattr(rule, attribute):g}" for sign, attribute, rule in found)
