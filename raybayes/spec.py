"""What a user asks for, checked before any cluster time is spent: the records behind every YAML file and every call."""

from __future__ import annotations

import difflib
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from raybayes.errors import SpecError

Model = TypeVar("Model", bound=BaseModel)


class _Loader(yaml.SafeLoader):
    """YAML with the numbers of its version 1.2: 1e-3 is a number, and not a text as in 1.1."""


# In YAML 1.1 the wall time 12:00:00 is the number 43200; in 1.2 it is a text.
_Loader.yaml_implicit_resolvers = {
    first: [(tag, rule) for tag, rule in rules if tag != "tag:yaml.org,2002:int"]
    for first, rules in _Loader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"^(?:[-+]?[0-9][0-9_]*|0x[0-9a-fA-F_]+|0b[01_]+)$"), [*"-+0123456789"]
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)[eE][-+]?[0-9]+$"),
    [*"-+.0123456789"],
)


class Frozen(BaseModel):
    """A record that refuses unknown keys and never changes."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Resources(Frozen):
    """What one trial needs."""

    workers: int = Field(1, ge=1, description="workers that train one trial together")
    cpus_per_worker: float = Field(1.0, gt=0, description="CPU cores of one worker")
    gpus_per_worker: float = Field(0.0, ge=0, description="GPUs of one worker; fractions share a GPU")

    @property
    def cpus(self) -> float:
        """CPU cores of the whole trial."""
        return self.workers * self.cpus_per_worker

    @property
    def gpus(self) -> float:
        """GPUs of the whole trial."""
        return self.workers * self.gpus_per_worker


class Checkpoints(Frozen):
    """When training states are written, and how many finished trials keep theirs."""

    keep: int = Field(5, ge=0, description="finished trials that keep their newest checkpoint: the best of the sweep")
    every_s: float = Field(10.0, ge=0, description="least seconds of training between two checkpoints of a trial")


class Reuse(Frozen):
    """When the processes of a slot, which train one trial after the other, are replaced by fresh ones."""

    trials: int = Field(500, ge=1, description="trials that a slot's processes train; 1: each trial has its own")
    growth_gib: float = Field(2.0, gt=0, description="growth of a process's memory after which it is replaced")


class Choice(Frozen):
    """A named part with options: written `tpe`, or `asha:eta=4,grace=2`."""

    name: str
    options: dict[str, Any] = Field(default_factory=dict)

    @classmethod
    def parse(cls, text: str | Mapping[str, Any] | Choice) -> Choice:
        """From `name:key=value,key=value`, a mapping, or itself."""
        if isinstance(text, Choice):
            return text
        if isinstance(text, Mapping):
            return build(cls, text, "sampler or scheduler")
        name, _, tail = str(text).partition(":")
        pairs = [pair for pair in tail.split(",") if pair.strip()]
        for pair in pairs:
            if "=" not in pair:
                raise SpecError(f"{text}: option {pair!r} has no '='; write name:option=value, for example asha:eta=4.")
        return cls(name=name.strip(), options=parse_settings(pairs))

    def __str__(self) -> str:
        pairs = (f"{key}={'null' if value is None else value}" for key, value in self.options.items())
        return self.name + (":" + ",".join(pairs) if self.options else "")


class SweepSpec(Frozen):
    """One sweep, or (kind "train") one run of a fixed configuration; sweep.yaml holds it with every default."""

    kind: Literal["sweep", "train", "confirm", "replay"] = "sweep"
    project: str = Field(description="folder below trainables/")
    space: str = Field("SPACE", description="name of the space in search_spaces/<project>.py")
    config: dict[str, Any] = Field(default_factory=dict, description="fixed configuration values, dotted names")
    trials: int = Field(10, ge=1, description="trials in all: complete, pruned and failed ones")
    sampler: Choice = Field(Choice(name="tpe"), description="tpe, gp, cmaes, nsga2, random, grid, or an import path")
    scheduler: Choice = Field(Choice(name="none"), description="none, asha, median, hyperband or pbt")
    objective: tuple[str, ...] = Field((), description="metric names; several make a multi-objective sweep")
    constraints: dict[str, str] = Field(default_factory=dict, description="bounds on metrics, e.g. seconds: <= 60")
    repeats: int = Field(1, ge=1, description="seeds a configuration is run with")
    time_budget_s: float | None = Field(None, gt=0, description="seconds after which the burst ends cleanly")
    concurrency: int | Literal["auto"] | None = Field(
        None, description="trials at once; none: as many as CPUs and GPUs allow; auto: and memory, as trials show it"
    )
    resources: Resources = Field(default_factory=Resources)
    storage: str = Field(
        default_factory=lambda: default_storage(), description="folder or object-store URI that holds all sweeps"
    )
    name: str = Field(description="the sweep's folder below storage")
    seed: int = Field(0, ge=0)
    data: str | None = Field(None, description="folder of the full data sets")
    checkpoints: Checkpoints = Field(default_factory=Checkpoints)
    ask_ahead: Literal["auto", "always", "never"] = Field(
        "auto", description="look for configurations before a slot is free; auto: where that saves 2 % of a trial"
    )
    fuse: int | Literal["never", "auto"] = Field(
        "never", description="trials of a project trained at once in one process, where it can: at most N, or auto"
    )
    reuse: Reuse = Field(default_factory=Reuse)
    retries: int = Field(2, ge=0, description="restarts of a trial whose worker was lost")
    failed_limit: float = Field(0.5, ge=0, le=1, description="share of failed trials above which the exit code is 1")
    report_limit_s: float | None = Field(None, gt=0, description="seconds without a report after which a trial fails")
    narrow: dict[str, Any] = Field(default_factory=dict, description="parameters of the space fixed from now on")
    warm_start: str = Field("none", description="none, auto (finished sweeps in storage), or paths of sweeps")
    confirm: str | None = Field(None, description="TOPxSEEDS: repeat the best at the end and choose by mean, e.g. 5x3")

    @field_validator("sampler", "scheduler", mode="before")
    @classmethod
    def _parse_choice(cls, value: Any) -> Choice:
        return Choice.parse(value)

    @field_validator("concurrency", mode="before")
    @classmethod
    def _parse_concurrency(cls, value: Any) -> int | str | None:
        if value is None:
            return None
        if value == "auto":
            return "auto"
        if isinstance(value, bool) or not str(value).isdigit() or int(value) < 1:
            raise ValueError("give a number from 1, or auto")
        return int(value)

    @field_validator("fuse", mode="before")
    @classmethod
    def _parse_fuse(cls, value: Any) -> int | str:
        if value in ("never", "auto"):
            return str(value)
        if isinstance(value, bool) or not str(value).isdigit() or int(value) < 2:
            raise ValueError("give a number from 2, auto, or never")
        return int(value)

    @field_validator("objective", mode="before")
    @classmethod
    def _parse_objective(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("confirm")
    @classmethod
    def _readable_confirm(cls, value: str | None) -> str | None:
        if value is not None:
            parse_confirm(value)
        return value

    @model_validator(mode="after")
    def _fusible(self) -> SweepSpec:
        if self.fuse != "never":
            if self.resources.workers > 1:
                raise ValueError(f"fuse trains several trials in one process, not in {self.resources.workers} workers")
            if self.scheduler.name == "pbt":
                raise ValueError("fuse: members of pbt wait for each other, and are trained apart; drop one of the two")
            if self.reuse.trials == 1:
                raise ValueError("fuse trains several trials in one process, and isolate each in its own; drop one")
        return self

    @field_validator("name")
    @classmethod
    def _plain_name(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", value):
            raise ValueError("a name has letters, digits, '.', '_' and '-' only, and starts with a letter or digit")
        return value

    @field_validator("constraints")
    @classmethod
    def _readable_bounds(cls, value: dict[str, str]) -> dict[str, str]:
        for name, bound in value.items():
            parse_bound(name, bound)
        return value


def default_storage() -> str:
    """Where sweeps go that name no storage: RAYBAYES_STORAGE, which a cluster sets on its nodes, else `runs`."""
    return os.environ.get("RAYBAYES_STORAGE") or "runs"


# What a sweep is; the rest (how many trials, where, how fast) may change from burst to burst.
IDENTITY = (
    "kind",
    "project",
    "space",
    "config",
    "sampler",
    "scheduler",
    "objective",
    "constraints",
    "repeats",
    "resources",
    "seed",
    "warm_start",
)


def differences(old: SweepSpec, new: SweepSpec) -> list[str]:
    """Where two specs describe different sweeps, one "field: old -> new" each."""
    before, after = old.model_dump(mode="json"), new.model_dump(mode="json")
    return [f"{name}: {before[name]!r} -> {after[name]!r}" for name in IDENTITY if before[name] != after[name]]


def parse_bound(name: str, bound: str) -> tuple[str, float]:
    """`"<= 60"` as ("<=", 60.0). Raises SpecError for anything else."""
    match = re.fullmatch(r"\s*(<=|>=)\s*(\S+)\s*", str(bound))
    try:
        limit = float(match[2]) if match else math.nan
    except ValueError:
        limit = math.nan
    if match is None or not math.isfinite(limit):
        raise SpecError(f"constraint on {name}: found {bound!r}; write '<= number' or '>= number'.")
    return match[1], limit


def parse_confirm(text: str) -> tuple[int, int]:
    """`"5x3"` as (5 configurations, 3 seeds). Raises SpecError for anything else."""
    match = re.fullmatch(r"\s*(\d+)\s*x\s*(\d+)\s*", str(text))
    top, repeats = (int(match[1]), int(match[2])) if match else (0, 0)
    if top < 1 or repeats < 2:
        raise SpecError(f"confirm: found {text!r}; write TOPxSEEDS with at least 2 seeds, for example 5x3.")
    return top, repeats


def parse_settings(pairs: Iterable[str]) -> dict[str, Any]:
    """`["lr=1e-3", "method=sse"]` as {"lr": 0.001, "method": "sse"}; values are read as YAML.

    Raises:
        SpecError: a pair has no "=", or a value does not parse.
    """
    settings: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name.strip():
            raise SpecError(f"setting {pair!r} has no '='; write name=value, for example -s lr=0.1.")
        try:
            settings[name.strip()] = yaml.load(text, _Loader)
        except yaml.YAMLError:
            raise SpecError(f"setting {name.strip()}: {text!r} is no readable value; quote it.") from None
    return settings


def parse_duration(text: str | float | None) -> float | None:
    """`"90"`, `"90s"`, `"30m"`, `"2h"`, `"1d"` or `"1h30m"` in seconds."""
    if text is None or isinstance(text, int | float):
        return text
    units = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "": 1.0}
    parts = re.findall(r"(\d+(?:\.\d*)?)\s*([dhms]?)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text.replace(" ", ""):
        raise SpecError(f"time {text!r} is not readable; write 90s, 30m, 2h or 1h30m.")
    return sum(float(number) * units[unit] for number, unit in parts)


def build(model: type[Model], values: Mapping[str, Any], where: str, lines: Mapping[str, int] | None = None) -> Model:
    """A checked record, or a SpecError with one sentence a mistake.

    Args:
        where: what the values are, for the message: "sweep", "ensembles config", a file name.
        lines: the line of each dotted key, when the values come from a file.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        raise SpecError("\n".join(_explain(model, problem, where, lines or {}) for problem in error.errors())) from None


def _explain(model: type[BaseModel], problem: Any, where: str, lines: Mapping[str, int]) -> str:
    path = ".".join(str(part) for part in problem["loc"])
    place = f"{where}:{lines[path]}" if path in lines else where
    if problem["type"] == "extra_forbidden":
        return f"{place}: {unknown_key(model, problem['loc'])}"
    if problem["type"] == "missing":
        return f"{place}: {path} is missing; it has no default, so give it a value."
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
    near = difflib.get_close_matches(name, valid, n=1)
    shown = ", ".join(f"{key} ({_default_text(field)})" for key, field in valid.items())
    return f"{name} is no known key{f'; did you mean {near[0]}?' if near else '.'} Known: {shown}."


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
                raise SpecError(
                    f"{name}: {group} already has the value {branch!r}, so it can have no {leaf!r} below it."
                )
        _put(branch, leaf, value, name)
    return tree


def _put(branch: dict[str, Any], leaf: str, value: Any, name: str) -> None:
    if isinstance(value, Mapping):
        inner = branch.setdefault(leaf, {})
        if not isinstance(inner, dict):
            raise SpecError(
                f"{name}: it already has the value {inner!r}, so it cannot be the group {dict(value)!r} too."
            )
        for key, below in value.items():
            _put(inner, key, below, f"{name}.{key}")
    elif isinstance(branch.get(leaf), dict):
        raise SpecError(f"{name}: it already has {', '.join(branch[leaf])} below it, so it cannot be {value!r}.")
    else:
        branch[leaf] = value


def read_yaml(path: str) -> tuple[dict[str, Any], dict[str, int]]:
    """A YAML file as (values, line of each dotted key). Raises SpecError with line and column if it does not parse."""
    try:
        text = Path(path).read_text(encoding="utf-8")
        values = yaml.load(text, _Loader)
        tree = yaml.compose(text, _Loader)
    except OSError as error:
        raise SpecError(f"{path}: cannot be read ({error.strerror}); check the path.") from None
    except UnicodeDecodeError:
        raise SpecError(f"{path}: this is no text in UTF-8; give a YAML file.") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else path
        raise SpecError(f"{place}: this is no YAML: {getattr(error, 'problem', None) or error}.") from None
    if not isinstance(values, dict):
        found = "nothing" if values is None else type(values).__name__
        raise SpecError(f"{path}: found {found}; the file must be a table of key: value lines.")
    lines: dict[str, int] = {}
    for name, line in _key_lines(tree, ""):
        if name in lines:
            raise SpecError(f"{path}:{line}: {name} stands in line {lines[name]} already; keep one of the two.")
        lines[name] = line
    return values, lines


def _key_lines(node: Any, prefix: str) -> Iterator[tuple[str, int]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield f"{prefix}{key.value}", key.start_mark.line + 1
            yield from _key_lines(value, f"{prefix}{key.value}.")
