"""Options of the command line, made from their declaration in `raybayes.spec.options`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from raybayes.spec.options import OPTIONS, Door, Option, options_at

Name = str | None
Config = Annotated[Name, typer.Option("--config", metavar="FILE", help="YAML file of configuration values.")]
Data = Annotated[Name, typer.Option("--data", metavar="DIR", help=OPTIONS["data"].described("sweep"))]
Trained = Annotated[Name, typer.Argument(help="See `raybayes projects`; or FILE.py:NAME, PACKAGE.MODULE:NAME.")]
Param = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=RANGE", help="A parameter of your own training: lr=log:1e-4..1, opt=sgd|adam."),
]
MetricPattern = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=PATTERN", help="Where a command's output holds a metric, if not in JSON lines."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


def of(door: Door) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Give a command the options of a door in place of its parameter `given`: those that the user gave, by name.

    Typer reads options off a function's signature; this writes one.
    """

    def decorated(command: Callable[..., int]) -> Callable[..., int]:
        own = inspect.signature(command, eval_str=True).parameters
        offered = {option.name: option for option in options_at(door) if option.name not in own}

        @functools.wraps(command)
        def called(**named: Any) -> int:
            found = {name: _value(option, named.pop(name)) for name, option in offered.items()}
            return command(**named, given={name: value for name, value in found.items() if value is not None})

        added = [_parameter(option, door) for option in offered.values()]
        others = {name: one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for name, one in own.items()}
        whole = [each for name in own for each in (added if name == "given" else [others[name]])]
        called.__signature__ = inspect.Signature(whole, return_annotation=int)  # type: ignore[attr-defined]
        called.__annotations__ = {each.name: each.annotation for each in whole} | {"return": int}
        return called

    return decorated


def _parameter(option: Option, door: Door) -> inspect.Parameter:
    """An option as typer declares it; without a default, so that an option that was not given is None."""
    spelled = ("/".join(option.spelled),) if option.accepts is bool else option.spelled
    info = typer.Option(*spelled, metavar=option.metavar or None, help=option.described(door))
    if option.words is not None:
        kind: Any = list[str]
    elif option.flag_value or option.accepts is bool:
        kind = bool
    else:
        kind = option.accepts if option.accepts in (int, float) else str
    annotation = Annotated[kind | None, info]
    return inspect.Parameter(option.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _value(option: Option, given: Any) -> Any:
    """What the option is set to, or None if it was not given; the text of a single value is read with the record."""
    if option.words is not None:
        return option.words(given) if given else None
    if option.flag_value:
        return option.flag_value if given else None
    return given
