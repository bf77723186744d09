"""The options of each Python call, for editors and type checkers, and the decorator that gives a call its options.

The classes repeat names and types of `raybayes.spec.options`, which a type checker cannot read off a table;
tests/spec/test_options.py holds them equal.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypedDict, TypeVar

from raybayes.contract import Direction
from raybayes.space import Parameter, Space
from raybayes.spec.options import Door, Duration, Path, options_at, require_known

Call = TypeVar("Call", bound=Callable[..., Any])


class CallOptions(TypedDict, total=False):
    """What every call that works on a sweep or run takes."""

    data: Path | None
    checkpoint_every: Duration
    retries: int
    report_timeout: Duration | None
    walltime: Duration | None
    executor: Literal["ray", "local"]


class _BurstOptions(CallOptions, total=False):
    time_budget: Duration | None
    concurrency: int | Literal["auto"] | None
    weight: float
    fuse: int | Literal["never", "auto"]
    isolate: bool
    max_failed_fraction: float


class ConfirmOptions(_BurstOptions, total=False):
    """The options of `rb.confirm`."""

    allow_import: str | None


class ExtendOptions(ConfirmOptions, total=False):
    """The options of `rb.extend`."""

    scheduler: str | object
    keep_checkpoints: int
    ask_ahead: Literal["auto", "always", "never"]
    trials_per_process: int
    process_growth_gib: float
    fixed_params: Mapping[str, Any] | None
    code_changed: bool
    confirm: str | None
    stop_when: str | Sequence[str]
    budget: str | None


class ResumeOptions(ExtendOptions, total=False):
    """The options of `rb.resume`."""

    trials: int
    retry_failed: bool | Literal["all"] | Sequence[int]


class _NewOptions(TypedDict, total=False):
    workers: int
    cpus_per_worker: float
    gpus_per_worker: float
    storage: Path | None
    name: str | None
    seed: int


class TrainOptions(CallOptions, _NewOptions, total=False):
    """The options of `rb.train`."""

    objective: str | Sequence[str] | Mapping[str, Direction]


class SweepOptions(_BurstOptions, _NewOptions, total=False):
    """The options of `rb.sweep`."""

    config: Mapping[str, Any] | None
    space: str | Space | Mapping[str, Parameter]
    require: str | Sequence[str]
    trials: int
    sampler: str | object
    scheduler: str | object
    objective: str | Sequence[str] | Mapping[str, Direction]
    constraints: Mapping[str, str] | None
    repeats: int
    keep_checkpoints: int
    ask_ahead: Literal["auto", "always", "never"]
    trials_per_process: int
    process_growth_gib: float
    warm_start: Path
    confirm: str | None
    stop_when: str | Sequence[str]
    budget: str | None


class SimulateOptions(TypedDict, total=False):
    """The options of `rb.simulate`."""

    require: str | Sequence[str]
    trials: int
    sampler: str | object
    scheduler: str | object
    constraints: Mapping[str, str] | None
    repeats: int
    time_budget: Duration | None
    storage: Path | None
    name: str | None
    seed: int
    ask_ahead: Literal["auto", "always", "never"]
    max_failed_fraction: float
    warm_start: Path
    confirm: str | None
    stop_when: str | Sequence[str]
    budget: str | None


def takes(door: Door) -> Callable[[Call], Call]:
    """Give a function whose last parameter is `**options` the options of a door.

    Its signature and docstring list them, and an unknown name raises SpecError with the nearest valid one.
    """

    def decorated(function: Call) -> Call:
        own = list(inspect.signature(function).parameters.values())[:-1]
        names = [parameter.name for parameter in own]
        offered = [option for option in options_at(door) if option.name not in names]

        @functools.wraps(function)
        def called(*arguments: Any, **given: Any) -> Any:
            require_known(door, given, names)
            return function(*arguments, **given)

        keywords = [parameter for parameter in own if parameter.kind is parameter.KEYWORD_ONLY]
        added = [
            inspect.Parameter(
                option.name, inspect.Parameter.KEYWORD_ONLY, default=option.default_at(door), annotation=option.accepts
            )
            for option in offered
        ]
        first = [parameter for parameter in own if parameter not in keywords]
        called.__signature__ = inspect.signature(function).replace(  # type: ignore[attr-defined]
            parameters=[*first, *added, *keywords]
        )
        listed = "\n".join(f"    {option.name}: {option.described(door)}" for option in offered)
        called.__doc__ = f"{inspect.cleandoc(function.__doc__ or '')}\n\nOptions:\n{listed}\n"
        return called  # type: ignore[return-value]

    return decorated
