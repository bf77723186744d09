"""Options that several commands share, worded once."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any, Optional

import typer

Name = Optional[str]  # noqa: UP045 - typer reads it at run time
Settings = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option(
        "-s", "--set", metavar="KEY=VALUE", help="Fix a configuration value, e.g. -s lr=0.1 -s sse.max_lr=0.2."
    ),
]
Config = Annotated[Name, typer.Option("--config", metavar="FILE", help="YAML file of configuration values.")]
Workers = Annotated[int, typer.Option(help="Workers that train one trial together.")]
Cpus = Annotated[float, typer.Option(help="CPU cores of one worker.")]
Gpus = Annotated[float, typer.Option(help="GPUs of one worker; fractions share a GPU.")]
Data = Annotated[Name, typer.Option("--data", metavar="DIR", help="Folder of the full data sets (else RAYBAYES_DATA).")]
Storage = Annotated[
    Name, typer.Option(help="Folder or object-store URI for results. [default: RAYBAYES_STORAGE, else runs]")
]
RunName = Annotated[Name, typer.Option("--name", help="Folder below the storage; by default project and time.")]
Seed = Annotated[int, typer.Option(help="Seed of every random draw.")]
Local = Annotated[bool, typer.Option("--local", help="Run in this process, without Ray.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Concurrency = Annotated[
    Name,
    typer.Option(
        metavar="N|auto", help="Trials at once. [default: as CPUs and GPUs allow; auto: and memory, as trials show it]"
    ),
]
Weight = Annotated[
    Optional[float],  # noqa: UP045
    typer.Option(help="Share of the cluster beside its other sweeps: 2 gets twice what 1 gets. [default: 1]"),
]
Walltime = Annotated[
    Name,
    typer.Option(metavar="TIME", help="The machine is ours for so long: end the burst then, with exit code 75."),
]
TimeBudget = Annotated[Name, typer.Option(metavar="TIME", help="End the burst cleanly after 90s, 30m, 2h, ...")]
KeepCheckpoints = Annotated[Optional[int], typer.Option(help="Best trials of the sweep that keep theirs.")]  # noqa: UP045
AskAhead = Annotated[
    Name,
    typer.Option(
        metavar="auto|always|never", help="Look for configurations before a slot is free. [default: auto, if it pays]"
    ),
]
Fuse = Annotated[
    Name,
    typer.Option(
        metavar="N|auto|never",
        help="Train up to N trials at the same time in one process, if the project can. [default: never]",
    ),
]
Isolate = Annotated[
    Optional[bool],  # noqa: UP045
    typer.Option("--isolate/--reuse", help="A fresh process (or group) for each trial alone. [default: reuse]"),
]
ReportLimit = Annotated[
    Name, typer.Option(metavar="TIME", help="A trial that does not report for so long is stopped and fails.")
]
Retries = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option(metavar="N", help="Restarts of a trial whose worker was lost, before it fails. [default: 2]"),
]
Narrow = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option("-s", "--set", metavar="KEY=VALUE", help="Fix a searched parameter from now on."),
]


def taking(shared: Callable[..., dict[str, Any]]) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Give a command the options of `shared` in place of its parameter `changes`: what `shared` makes of them.

    Typer reads options off a function's signature; this writes one.
    """
    options = inspect.signature(shared, eval_str=True).parameters

    def decorated(command: Callable[..., int]) -> Callable[..., int]:
        @functools.wraps(command)
        def called(**given: Any) -> int:
            changes = shared(**{name: given.pop(name) for name in options})
            return command(**given, changes=changes)

        own = inspect.signature(command, eval_str=True).parameters
        whole = [p for name in own for p in (options.values() if name == "changes" else [own[name]])]
        called.__signature__ = inspect.Signature(whole, return_annotation=int)  # type: ignore[attr-defined]
        called.__annotations__ = {p.name: p.annotation for p in whole} | {"return": int}
        return called

    return decorated
