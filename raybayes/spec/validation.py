"""Records of values that a user gives: checked, with one sentence per mistake; nested, or flat with dotted names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from raybayes.errors import SpecError
from raybayes.wording import unknown

Model = TypeVar("Model", bound=BaseModel)


class Frozen(BaseModel):
    """A record that refuses unknown keys and never changes."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def build(model: type[Model], values: Mapping[str, Any], where: str, lines: Mapping[str, int] | None = None) -> Model:
    """A checked record, or a SpecError with one sentence per mistake.

    Args:
        where: what the values are, for the message: "sweep", "ensembles config", a file name.
        lines: the line of each dotted key, when the values come from a file.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        raise refused(error, model, where, lines) from None


def refused(
    error: ValidationError, model: type[BaseModel], where: str, lines: Mapping[str, int] | None = None
) -> SpecError:
    """A SpecError with one sentence per mistake that pydantic found; the arguments are those of `build`."""
    return SpecError("\n".join(_explain(model, problem, where, lines or {}) for problem in error.errors()))


def _explain(model: type[BaseModel], problem: Any, where: str, lines: Mapping[str, int]) -> str:
    path = ".".join(str(part) for part in problem["loc"])
    place = f"{where}:{lines[path]}" if path in lines else where
    if problem["type"] == "extra_forbidden":
        return f"{place}: {unknown_key(model, problem['loc'])}"
    if problem["type"] == "missing":
        return f"{place}: {path} is missing and has no default; give it a value."
    message = problem["msg"].removeprefix("Value error, ").rstrip(".")
    if not path:
        return f"{place}: {message}."
    return f"{place}: {path}: found {problem['input']!r}; {message[0].lower()}{message[1:]}."


def unknown_key(model: type[BaseModel], loc: Sequence[Any]) -> str:
    """The sentence for a key that a record does not have: nearest name first, then all with their defaults."""
    groups, prefix = [model], ""
    for part in loc[:-1]:
        inner = [each for group in groups for each in _groups_below(group, part)]
        if not inner:
            break
        groups, prefix = inner, f"{prefix}{part}."
    name = ".".join(str(part) for part in loc)
    valid = {f"{prefix}{key}": field for group in groups for key, field in group.model_fields.items()}
    if name in valid:
        keys = [f"{name}.{key}" for group in groups_of(valid[name].annotation) for key in group.model_fields]
        return f"{name} is a group of keys; name one of them: {', '.join(dict.fromkeys(keys))}."
    return unknown("key", name, valid, shown=(f"{key} ({_default_text(field)})" for key, field in valid.items()))


def _groups_below(group: type[BaseModel], part: Any) -> list[type[BaseModel]]:
    return groups_of(group.model_fields[part].annotation) if part in group.model_fields else []


def groups_of(annotation: Any) -> list[type[BaseModel]]:
    """The records among the types that a field may have: none for a plain value, several for a choice of groups."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [group for part in get_args(annotation) for group in groups_of(part)]


def _default_text(field: Any) -> str:
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=True)
    return "group" if isinstance(default, BaseModel) else f"default {default!r}"


def flatten(config: BaseModel) -> dict[str, Any]:
    """A configuration as {dotted name: value}, groups opened, in the order of the fields."""
    return dict(_leaves(config, ""))


def _leaves(config: BaseModel, prefix: str) -> Iterator[tuple[str, Any]]:
    for name in type(config).model_fields:
        value = getattr(config, name)
        if isinstance(value, BaseModel):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def nest(values: Mapping[str, Any]) -> dict[str, Any]:
    """{"sse.max_lr": 0.2} as {"sse": {"max_lr": 0.2}}; the inverse of `flatten`."""
    tree: dict[str, Any] = {}
    for name, value in values.items():
        *groups, leaf = str(name).split(".")
        branch = tree
        for group in groups:
            branch = branch.setdefault(group, {})
            if not isinstance(branch, dict):
                raise SpecError(f"{name}: {group} already has the value {branch!r}, so it cannot contain {leaf!r}.")
        _put(branch, leaf, value, name)
    return tree


def _put(branch: dict[str, Any], leaf: str, value: Any, name: str) -> None:
    if isinstance(value, Mapping):
        inner = branch.setdefault(leaf, {})
        if not isinstance(inner, dict):
            raise SpecError(
                f"{name}: it already has the value {inner!r}, so it cannot also be the group {dict(value)!r}."
            )
        for key, below in value.items():
            _put(inner, key, below, f"{name}.{key}")
    elif isinstance(branch.get(leaf), dict):
        raise SpecError(f"{name}: it already contains {', '.join(branch[leaf])}, so it cannot be {value!r}.")
    else:
        branch[leaf] = value
