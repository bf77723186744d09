"""Finds projects and their search spaces by file name, and in other packages by entry point. There is no list to edit.

Searched in this order: `trainables/` and `search_spaces/` next to raybayes, the same two folders in the current
directory, and the entry points of the groups `raybayes.projects` and `raybayes.spaces`.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import pkgutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from raybayes.contract import Project
from raybayes.errors import SpaceError, SpecError
from raybayes.space import Choice, Parameter, Space
from raybayes.spec.validation import build, flatten, groups_of, nest, unknown_key
from raybayes.wording import unknown

_GROUPS = {"trainables": "raybayes.projects", "search_spaces": "raybayes.spaces"}


def add_root(folder: str) -> None:
    """Add `folder/trainables` and `folder/search_spaces` to the catalogue."""
    for package in _GROUPS:
        inner = str(Path(folder).resolve() / package)
        if Path(inner).is_dir():
            known = importlib.import_module(package).__path__
            if inner not in known:
                known.append(inner)


def roots() -> tuple[str, ...]:
    """Folders that hold projects; workers on other machines of the same file system add them too."""
    add_root(str(Path.cwd()))
    return tuple(str(Path(path).parent) for path in importlib.import_module("trainables").__path__)


def _entry_points(package: str) -> dict[str, importlib.metadata.EntryPoint]:
    return {point.name: point for point in importlib.metadata.entry_points(group=_GROUPS[package])}


def _modules(package: str) -> set[str]:
    add_root(str(Path.cwd()))
    found = pkgutil.iter_modules(importlib.import_module(package).__path__)
    return {module.name for module in found if not module.name.startswith("_")}


def project_names() -> list[str]:
    """Names of all projects; imports none of them."""
    return sorted(_modules("trainables") | set(_entry_points("trainables")))


_own: dict[str, Project] = {}  # trainings that are not in the catalogue, in the process that trains them


def add_own(name: str, project: Project) -> None:
    """Let `name` stand for a user's own training in this process, which serves its sweep and no other."""
    _own[name] = project


@contextlib.contextmanager
def with_own(name: str, project: Project) -> Iterator[None]:
    """Let `name` stand for a user's own training for a while."""
    before = dict(_own)
    _own[name] = project
    try:
        yield
    finally:
        _own.clear()
        _own.update(before)


def load_project(name: str) -> Project:
    """The project of that name. SpecError with the nearest and all valid names if it is unknown."""
    if name in _own:
        return _own[name]
    if name in _modules("trainables"):
        place = f"trainables/{name}"
        project = getattr(_import(f"trainables.{name}", place), "PROJECT", None)
    elif name in (points := _entry_points("trainables")):
        place = f"entry point {points[name].value}"
        project = points[name].load()
    else:
        raise SpecError(unknown("project", name, project_names()))
    if not isinstance(project, Project):
        raise SpecError(f"{place}: found PROJECT = {project!r}; it must be a raybayes Project.")
    if project.name != name:
        raise SpecError(f"{place}: found PROJECT.name = {project.name!r}; it must be {name!r}, the name of its folder.")
    return project


def load_projects() -> tuple[list[Project], dict[str, str]]:
    """Every project that loads, and why each of the others does not: one broken project must not hide the rest."""
    found, broken = [], {}
    for name in project_names():
        try:
            found.append(load_project(name))
        except Exception as error:
            broken[name] = f"{type(error).__name__}: {error}"
    return found, broken


def require_fusion(project: Project) -> None:
    """SpecError if the project cannot train several trials at the same time; it names those that can."""
    if project.fusion is None:
        able = [other.name for other in load_projects()[0] if other.fusion is not None]
        raise SpecError(
            f"fuse: {project.name} cannot train several trials at the same time (its PROJECT has no fusion); "
            f"those that can: {', '.join(able) or 'none'}."
        )


def _import(module: str, place: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise SpecError(f"{place} cannot be imported: {error}; install what it needs, or correct the import.") from None


def load_spaces(name: str) -> dict[str, Space]:
    """Every space that `search_spaces/<name>.py` declares, by its name in the file (SPACE, PAPER, ...)."""
    if name in _modules("search_spaces"):
        try:
            module = _import(f"search_spaces.{name}", f"search_spaces/{name}.py")
        except SpaceError as error:
            raise SpaceError(f"search_spaces/{name}.py: {error}") from None
    elif name in (points := _entry_points("search_spaces")):
        module = points[name].load()
    else:
        raise SpaceError(f"search_spaces/{name}.py does not exist; create it with SPACE = Space({{...}}).")
    return {key: value for key, value in vars(module).items() if isinstance(value, Space)}


def load_space(project: Project, space: str = "SPACE") -> Space:
    """One space of a project, each parameter checked against the project's Config."""
    spaces = load_spaces(project.name)
    if space not in spaces:
        raise SpaceError(unknown("space", space, spaces, owner=f"search_spaces/{project.name}.py"))
    known = documentation(project)
    for name in spaces[space]:
        place = f"search_spaces/{project.name}.py: {space}"
        if name not in known:
            raise SpaceError(f"{place}: {unknown_key(project.Config, name.split('.'))}")
        if problem := _refused(project.Config, name, spaces[space][name]):
            raise SpaceError(f"{place}: {name}: {problem}.")
    return spaces[space]


def _refused(model: type[BaseModel], name: str, parameter: Parameter) -> str | None:
    """Which bound of a range, or which choice, the project's Config refuses, and why; None if it refuses none."""
    field = _field(model, name.split("."))
    kind: Any = Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
    check: TypeAdapter[Any] = TypeAdapter(kind)
    for value in parameter.values if isinstance(parameter, Choice) else (parameter.low, parameter.high):
        try:
            check.validate_python(value)
        except ValidationError as error:
            message = error.errors()[0]["msg"]
            return f"{parameter!r} takes {value!r}, which its Config refuses: {message[0].lower()}{message[1:]}"
    return None


def _field(model: type[BaseModel], path: Sequence[str]) -> FieldInfo:
    first = model.model_fields[path[0]]
    if len(path) == 1:
        return first
    group = next(group for group in groups_of(first.annotation) if path[1] in group.model_fields)
    return _field(group, path[1:])


@dataclass(frozen=True)
class Selection:
    """What a spec names, found and checked.

    Args:
        project: the project.
        config: the user's fixed values by dotted names, in the types of the project's Config.
        space: the declared search space; an empty one where nothing is searched.
        defaults: the whole default configuration by dotted names, with what is fixed.
        roots: folders that hold projects, to be added in other processes.
    """

    project: Project
    config: Mapping[str, Any]
    space: Space
    defaults: Mapping[str, Any]
    roots: tuple[str, ...]


def select(name: str, config: Mapping[str, Any], space: str | None) -> Selection:
    """Look up everything that a spec names.

    Args:
        name: of the project.
        config: fixed values, by dotted names or nested.
        space: name of one of its search spaces; None: nothing is searched.

    Raises:
        SpecError, SpaceError: there is no such project or space, or the project refuses a value.
    """
    project = load_project(name)
    return selection(project, config, Space({}) if space is None else load_space(project, space))


def selection(project: Project, config: Mapping[str, Any], space: Space) -> Selection:
    """The same of a project and a space that are at hand. SpecError: the project refuses a value."""
    fixed = fixed_values(project, config)
    return Selection(project, fixed, space, filled(project, {**space.constants(), **fixed}), roots())


def defaults(project: Project) -> dict[str, Any]:
    """The project's default configuration by dotted names."""
    return flatten(build(project.Config, {}, f"{project.name} config"))


def configure(project: Project, values: Mapping[str, Any]) -> BaseModel:
    """The project's Config with some dotted names set. SpecError names every wrong field."""
    return build(project.Config, nest(values), f"{project.name} config")


def configured(name: str, values: Mapping[str, Any], roots: Sequence[str] = ()) -> tuple[Project, BaseModel]:
    """A project, which may be in one of the `roots`, and its Config with some dotted names set."""
    for root in roots:
        add_root(root)
    project = load_project(name)
    return project, configure(project, values)


def filled(project: Project, values: Mapping[str, Any]) -> dict[str, Any]:
    """The whole configuration by dotted names when some values are set; others may depend on them."""
    return flatten(configure(project, values))


def fixed_values(project: Project, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The user's settings, by dotted names, in the types that the Config gives them ("1e-3" becomes 0.001)."""
    given = nest(settings)
    return {name: value for name, value in flatten(configure(project, settings)).items() if _is_set(name, given)}


def _is_set(name: str, tree: Any) -> bool:
    """Whether a nested table sets the value of a dotted name, or an object that contains it."""
    for part in name.split("."):
        if not isinstance(tree, Mapping):
            return True
        if part not in tree:
            return False
        tree = tree[part]
    return True


def documentation(project: Project) -> dict[str, tuple[str, str]]:
    """Type with range, and meaning, of each configuration key, by dotted name."""
    return dict(_documented(project.Config, ""))


def _documented(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, tuple[str, str]]]:
    for name, field in model.model_fields.items():
        if groups := groups_of(field.annotation):
            for group in groups:
                yield from _documented(group, f"{prefix}{name}.")
        else:
            kind, null, _ = _type_name(field.annotation).partition(" | null")
            shown = f"{kind} {_bounds(field.metadata)}".strip() + null
            yield f"{prefix}{name}", (shown, field.description or "")


def _type_name(kind: Any) -> str:
    """A type as a user writes its values: all choices, `null` for None."""
    inner = get_args(kind)
    if get_origin(kind) is Annotated:
        return _type_name(inner[0])
    if get_origin(kind) is Literal:
        return " | ".join("null" if value is None else str(value) for value in inner)
    if get_origin(kind) in (Union, UnionType):
        return " | ".join(_type_name(part) for part in inner)
    if kind is NoneType:
        return "null"
    if inner:
        shown = ", ".join("..." if part is Ellipsis else _type_name(part) for part in inner)
        return f"{getattr(get_origin(kind), '__name__', kind)}[{shown}]"
    return getattr(kind, "__name__", str(kind))


def _bounds(metadata: list[Any]) -> str:
    signs = {"Ge": (">=", "ge"), "Gt": (">", "gt"), "Le": ("<=", "le"), "Lt": ("<", "lt")}
    found = [(*signs[type(rule).__name__], rule) for rule in metadata if type(rule).__name__ in signs]
    return " ".join(f"{sign} {getattr(rule, attribute):g}" for sign, attribute, rule in found)
