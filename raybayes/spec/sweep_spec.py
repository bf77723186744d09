"""What a user asks for, checked before any cluster time is spent: the records behind every YAML file and every call."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from raybayes.errors import SpecError
from raybayes.spec.validation import Frozen, build
from raybayes.spec.yaml_files import parse_settings


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
    checkpoint_every: float = Field(10.0, ge=0, description="least seconds of training between two checkpoints")


class Reuse(Frozen):
    """When the processes of a slot, which train one trial after the other, are replaced by fresh ones."""

    trials: int = Field(500, ge=1, description="trials that a slot's processes train; 1: each trial has its own")
    growth_gib: float = Field(2.0, gt=0, description="growth of a process's memory after which it is replaced")


class Component(Frozen):
    """A named part with options: written `tpe`, or `asha:eta=4,grace_period=2`."""

    name: str
    options: dict[str, Any] = Field(default_factory=dict)

    @classmethod
    def parse(cls, text: str | Mapping[str, Any] | Component) -> Component:
        """From `name:key=value,key=value`, a mapping, or itself."""
        if isinstance(text, Component):
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
    sampler: Component = Field(
        Component(name="tpe"), description="tpe, gp, cmaes, nsga2, random, grid, or an import path"
    )
    scheduler: Component = Field(Component(name="none"), description="none, asha, median, hyperband or pbt")
    objective: tuple[str, ...] = Field((), description="metric names; several make a multi-objective sweep")
    constraints: dict[str, str] = Field(default_factory=dict, description="bounds on metrics, e.g. seconds: <= 60")
    repeats: int = Field(1, ge=1, description="seeds a configuration is run with")
    time_budget_s: float | None = Field(None, gt=0, description="seconds after which the burst ends cleanly")
    concurrency: int | Literal["auto"] | None = Field(
        None, description="trials at once; none: as many as CPUs and GPUs allow; auto: and memory, as trials show it"
    )
    weight: float = Field(1.0, gt=0, le=1e6, description="share of a cluster, beside that of its other sweeps")
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
    max_failed_fraction: float = Field(0.5, ge=0, le=1, description="share of failed trials above which exit code 1")
    report_timeout_s: float | None = Field(None, gt=0, description="seconds without a report after which a trial fails")
    fixed_params: dict[str, Any] = Field(default_factory=dict, description="parameters of the space fixed from now on")
    warm_start: str = Field("none", description="none, auto (finished sweeps in storage), or paths of sweeps")
    confirm: str | None = Field(None, description="TOPxSEEDS: repeat the best at the end and choose by mean, e.g. 5x3")

    @field_validator("sampler", "scheduler", mode="before")
    @classmethod
    def _parse_choice(cls, value: Any) -> Component:
        return Component.parse(value)

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
    """Where two specs describe different sweeps, one "key: old -> new" each; keys of groups by dotted names."""
    before, after = dict(_identity(old)), dict(_identity(new))
    none = (..., "not set")
    pairs = {key: (before.get(key, none), after.get(key, none)) for key in {**before, **after}}
    return [f"{key}: {one[1]} -> {other[1]}" for key, (one, other) in pairs.items() if one[0] != other[0]]


def _identity(spec: SweepSpec) -> Iterator[tuple[str, tuple[Any, str]]]:
    """What a sweep is, key by key: the value, and the text that shows it."""
    for name, value in spec.model_dump(mode="json", include=set(IDENTITY)).items():
        if name in ("sampler", "scheduler"):
            yield name, (value, str(getattr(spec, name)))
        elif name == "objective":
            yield name, (value, ", ".join(value) or "not set")
        elif isinstance(value, dict):
            yield from ((f"{name}.{key}", (inner, repr(inner))) for key, inner in value.items())
        else:
            yield name, (value, repr(value))


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


def parse_duration(text: str | float | None) -> float | None:
    """`"90"`, `"90s"`, `"30m"`, `"2h"`, `"1d"` or `"1h30m"` in seconds."""
    if text is None or isinstance(text, int | float):
        return text
    units = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "": 1.0}
    parts = re.findall(r"(\d+(?:\.\d*)?)\s*([dhms]?)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text.replace(" ", ""):
        raise SpecError(f"time {text!r} is not readable; write 90s, 30m, 2h or 1h30m.")
    return sum(float(number) * units[unit] for number, unit in parts)
