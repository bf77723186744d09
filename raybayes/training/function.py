"""A callable as a project: whatever it takes and returns, its reports reach the sweep in one way."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, SupportsFloat, get_args

from pydantic import BaseModel, ConfigDict, create_model

from raybayes.contract import Context, Direction, Metric, Project, State
from raybayes.errors import SpecError, TrialError
from raybayes.space import Space
from raybayes.spec.validation import nest
from raybayes.training.current import training

Answer = float | Mapping[str, float] | Iterable[Mapping[str, float]] | None


def project_of(
    train: Callable[..., Answer],
    space: Space,
    objective: Mapping[str, Direction],
    constants: Mapping[str, Any],
    Config: type[BaseModel] | None = None,
) -> Project:
    """The project that trains by calling a function.

    Args:
        train: `train(config)`, which returns a number (the objective) or a mapping of metrics, yields mappings, or
            calls `rb.report`; or `train(config, ctx)` with the whole context.
        space: what is searched.
        objective: metrics to improve, with their directions.
        constants: values by dotted names that all trials share.
        Config: a pydantic model that `train` gets in place of a dictionary.

    Raises:
        SpecError: `train` cannot be called with a configuration, or a direction is unknown.
    """
    require_trainable(train)
    require_directions(objective)
    return Project(
        name=title_of(train),
        summary=(inspect.getdoc(train) or "a function").splitlines()[0],
        paper="",
        Config=Config or config_model(space, constants),
        train=FunctionTraining(train, tuple(objective), keeps_model=Config is not None),
        metrics=tuple(Metric(name, direction) for name, direction in objective.items()),
        fidelity="report",
        parallel="data",
        open_metrics=True,
    )


def title_of(train: Callable[..., Any]) -> str:
    """What a sweep of this function is called by default."""
    name = getattr(train, "__name__", "") or type(train).__name__
    return re.sub(r"[^A-Za-z0-9._-]+", "", name).strip("._-") or "function"


def require_trainable(train: Any) -> None:
    """SpecError unless `train` can be called with a configuration, and perhaps a context."""
    if not callable(train):
        raise SpecError(f"train: found {train!r}; give a function train(config) or train(config, ctx).")
    if not 1 <= _required(train) <= 2 and not _takes(train, 1):
        raise SpecError(
            f"train: {title_of(train)}{inspect.signature(train)} cannot be called with a configuration; "
            f"write train(config) or train(config, ctx)."
        )


def require_directions(objective: Mapping[str, Direction]) -> None:
    """SpecError unless there is an objective, and each has a direction."""
    allowed = " or ".join(get_args(Direction))
    if not objective:
        raise SpecError('objective: found none; give the metric to improve, for example {"loss": "minimize"}.')
    for name, direction in objective.items():
        if direction not in get_args(Direction):
            raise SpecError(f"objective {name}: found direction {direction!r}; give {allowed}.")


def _positional(train: Callable[..., Any]) -> list[inspect.Parameter]:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [one for one in inspect.signature(train).parameters.values() if one.kind in kinds]


def _required(train: Callable[..., Any]) -> int:
    return sum(one.default is inspect.Parameter.empty for one in _positional(train))


def _takes(train: Callable[..., Any], count: int) -> bool:
    try:
        inspect.signature(train).bind(*[None] * count)
    except TypeError:
        return False
    return True


def wants_context(train: Callable[..., Any]) -> bool:
    """Whether the second argument is the context: it must be given, or is called `ctx`."""
    found = _positional(train)
    return _required(train) == 2 or (len(found) > 1 and found[1].name == "ctx")


def config_model(space: Space, constants: Mapping[str, Any]) -> type[BaseModel]:
    """A model with a field for each name of a space and of `constants`; a parameter that is inactive is None."""
    return _model("Config", nest({**dict.fromkeys(space), **constants}))


def _model(name: str, tree: Mapping[str, Any]) -> type[BaseModel]:
    fields: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            inner = _model(key.title(), value)
            fields[key] = (inner, inner())
        else:
            fields[key] = (Any, value)
    return create_model(name, __config__=ConfigDict(frozen=True, extra="forbid", protected_namespaces=()), **fields)


def values_of(config: BaseModel, prefix: str = "") -> dict[str, Any]:
    """The values of a configuration by dotted names, without parameters that are inactive."""
    values: dict[str, Any] = {}
    for name in type(config).model_fields:
        value = getattr(config, name)
        if isinstance(value, BaseModel):
            values |= values_of(value, f"{prefix}{name}.")
        elif name in config.model_fields_set or value is not None:
            values[prefix + name] = value
    return values


@dataclass(frozen=True)
class FunctionTraining:
    """Calls a function with a configuration, and reports what it returns, yields or reports itself.

    Args:
        function: see `project_of`.
        objective: names that every report must carry.
        keeps_model: whether the function gets the pydantic model, and not a dictionary.
    """

    function: Callable[..., Answer]
    objective: tuple[str, ...]
    keeps_model: bool = False

    def __call__(self, config: BaseModel, ctx: Context) -> None:
        given = config if self.keeps_model else values_of(config)
        counted = _CountedReports(ctx, self.objective)
        with training(counted):
            answer = self.function(given, counted) if wants_context(self.function) else self.function(given)
            if answer is not None:
                for metrics in reports_of(answer, self.objective):
                    counted.report(metrics)
        if not counted.count:
            raise TrialError(
                f"{title_of(self.function)} returned None and reported nothing; return a number, return or yield "
                f"a mapping of metrics, or call rb.report({self.objective[0]}=...)."
            )


class _CountedReports:
    """A context that counts reports, and says what a report without the objective had instead."""

    def __init__(self, ctx: Context, objective: tuple[str, ...]) -> None:
        self._ctx, self._objective, self.count = ctx, objective, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ctx, name)

    def report(self, metrics: Mapping[str, float], state: Callable[[], State] | None = None) -> None:
        missing = [name for name in self._objective if name not in metrics]
        if missing:
            raise TrialError(
                f"the objective {', '.join(missing)} was not reported; found {', '.join(metrics) or 'nothing'}. "
                f"Report it, or name another objective."
            )
        self.count += 1
        self._ctx.report(metrics, state)


def reports_of(answer: Any, objective: tuple[str, ...]) -> Iterator[Mapping[str, float]]:
    """What a function has returned, report by report.

    Raises:
        TypeError: it is no number, mapping of numbers, or iterable of these.
    """
    if isinstance(answer, Mapping):
        yield checked(answer)
    elif isinstance(answer, Iterable) and not isinstance(answer, str | bytes) and not hasattr(answer, "__float__"):
        yield from map(checked, answer)
    elif isinstance(answer, SupportsFloat) and not isinstance(answer, str | bytes):
        if len(objective) > 1:
            raise TypeError(f"found {answer!r} for {len(objective)} objectives; return a mapping with {objective}")
        yield {objective[0]: float(answer)}
    else:
        raise TypeError(f"found {answer!r}; return a number, a mapping of metrics, or several mappings")


def checked(report: Any) -> dict[str, float]:
    """A report as numbers by name. TypeError if it is not one."""
    if not isinstance(report, Mapping):
        raise TypeError(f"found {report!r}; a report is a mapping of metrics")
    for name, value in report.items():
        if isinstance(value, bool | str | bytes) or not isinstance(value, SupportsFloat):
            raise TypeError(f"{name}: found {value!r}; give a number")
    return {str(name): float(value) for name, value in report.items()}
