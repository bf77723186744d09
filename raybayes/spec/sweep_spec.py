"""What a user asks for, checked before any cluster time is spent: the record behind every call and every YAML file."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from raybayes.spec.component import Component
from raybayes.spec.options import IDENTITY, OPTIONS, Door, require_known
from raybayes.spec.validation import Frozen, build

Kind = Literal["sweep", "train", "confirm", "replay"]


@dataclass(frozen=True)
class Resources:
    """What one trial needs.

    Args:
        workers: workers that train one trial together.
        cpus_per_worker: CPU cores of one worker.
        gpus_per_worker: GPUs of one worker; fractions share a GPU.
    """

    workers: int = 1
    cpus_per_worker: float = 1.0
    gpus_per_worker: float = 0.0

    @property
    def cpus(self) -> float:
        """CPU cores of the whole trial."""
        return self.workers * self.cpus_per_worker

    @property
    def gpus(self) -> float:
        """GPUs of the whole trial."""
        return self.workers * self.gpus_per_worker


@dataclass(frozen=True)
class Reuse:
    """When the processes of a slot, which train one trial after the other, are replaced by fresh ones.

    Args:
        trials: trials that a slot's processes train; 1: each trial has its own.
        growth_gib: growth of a process's memory, in GiB, after which it is replaced.
    """

    trials: int = 500
    growth_gib: float = 2.0


def _declared(name: str) -> Any:
    """The field of an option: its default, bounds and help."""
    option = OPTIONS[name]
    bounds: dict[str, Any] = dict(option.bounds)
    return Field(default_factory=lambda: option.read(option.default), description=option.help, **bounds)


class SweepSpec(Frozen):
    """One sweep, or (kind "train") one run of a fixed configuration; sweep.yaml holds it with every default.

    The options are declared in `raybayes.spec.options`; durations are seconds here.
    """

    kind: Kind = "sweep"
    project: str = Field(description="Folder below trainables/, or the name of a user's own training.")
    training: dict[str, Any] | None = Field(None, description="A training that is not in the catalogue.")
    space: str = _declared("space")
    require: tuple[str, ...] = _declared("require")
    config: dict[str, Any] = _declared("config")
    trials: int = _declared("trials")
    sampler: Component = _declared("sampler")
    scheduler: Component = _declared("scheduler")
    objective: tuple[str, ...] = _declared("objective")
    constraints: dict[str, str] = _declared("constraints")
    repeats: int = _declared("repeats")
    time_budget: float | None = _declared("time_budget")
    stop_when: str = _declared("stop_when")
    budget: str | None = _declared("budget")
    concurrency: int | Literal["auto"] | None = _declared("concurrency")
    weight: float = _declared("weight")
    workers: int = _declared("workers")
    cpus_per_worker: float = _declared("cpus_per_worker")
    gpus_per_worker: float = _declared("gpus_per_worker")
    storage: str = _declared("storage")
    name: str = Field(description=OPTIONS["name"].help)
    seed: int = _declared("seed")
    data: str | None = _declared("data")
    keep_checkpoints: int = _declared("keep_checkpoints")
    checkpoint_every: float = _declared("checkpoint_every")
    ask_ahead: Literal["auto", "always", "never"] = _declared("ask_ahead")
    fuse: int | Literal["never", "auto"] = _declared("fuse")
    isolate: bool = _declared("isolate")
    trials_per_process: int = _declared("trials_per_process")
    process_growth_gib: float = _declared("process_growth_gib")
    retries: int = _declared("retries")
    max_failed_fraction: float = _declared("max_failed_fraction")
    report_timeout: float | None = _declared("report_timeout")
    fixed_params: dict[str, Any] = _declared("fixed_params")
    warm_start: str = _declared("warm_start")
    confirm: str | None = _declared("confirm")

    @property
    def resources(self) -> Resources:
        """What one trial needs."""
        return Resources(self.workers, self.cpus_per_worker, self.gpus_per_worker)

    @property
    def reuse(self) -> Reuse:
        """When a slot's processes are replaced."""
        return Reuse(1 if self.isolate else self.trials_per_process, self.process_growth_gib)

    @field_validator(*OPTIONS, mode="before", check_fields=False)
    @classmethod
    def _read(cls, value: Any, info: ValidationInfo) -> Any:
        return OPTIONS[str(info.field_name)].read(value)

    @field_validator("name")
    @classmethod
    def _plain_name(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", value):
            raise ValueError("a name has letters, digits, '.', '_' and '-' only, and starts with a letter or digit")
        return value

    @model_validator(mode="after")
    def _fusible(self) -> SweepSpec:
        if self.fuse != "never":
            if self.workers > 1:
                raise ValueError(f"fuse trains several trials in one process, not in {self.workers} workers")
            if self.scheduler.name == "pbt":
                raise ValueError("fuse: members of pbt wait for each other and are trained separately; drop one")
            if self.reuse.trials == 1:
                raise ValueError("fuse trains several trials per process, and isolate one per process; drop one")
        return self


def make_spec(
    door: Door, values: Mapping[str, Any], where: str, lines: Mapping[str, int] | None = None, **internal: Any
) -> SweepSpec:
    """The checked record of a new sweep or run; its name is the project and the time unless it is given.

    Args:
        door: the call or command that takes the options.
        values: `project`, and options by name.
        where, lines: as in `validation.build`, for the messages.
        internal: fields that are not options: kind.

    Raises:
        SpecError: an option that the door does not have, or a value out of range, one sentence a mistake.
    """
    for name in values:
        place = f"{where}:{lines[name]}" if lines and name in lines else ""
        require_known(door, [name], ["project"], place)
    project = values.get("project")
    named = {"name": default_name(str(project))} if values.get("name") is None else {}
    return build(SweepSpec, {**values, **named, **internal}, where, lines)


def default_name(project: str) -> str:
    """A name that sorts by time: `ensembles-20260131-142501`."""
    return f"{project}-{datetime.datetime.now():%Y%m%d-%H%M%S}"


def differences(old: SweepSpec, new: SweepSpec) -> list[str]:
    """Where two specs describe different sweeps, one "key: old -> new" each; keys of tables by dotted names."""
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
