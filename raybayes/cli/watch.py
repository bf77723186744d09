"""`raybayes watch`: a sweep while it runs, from any machine that sees its folder."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raybayes.cli import options

if TYPE_CHECKING:
    from raybayes.reporting.terminal.view import View
    from raybayes.sweeps.live import LiveSweep


def watch(
    path: Annotated[str, typer.Argument(help="Folder or URI of a sweep or run.")],
    every: Annotated[float, typer.Option(min=0.2, help="Seconds between two updates.")] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Print the current state and exit.")] = False,
    json: options.Json = False,
) -> int:
    """Watch a sweep until it is finished, through interruptions and restarts. Reads only its folder; Ctrl-C exits."""
    from raybayes.cli.printing import console, print_json
    from raybayes.reporting.terminal.view import render_screen
    from raybayes.sweeps.live import LiveSweep

    follower = LiveSweep(path)
    view = follower.look()
    if json:
        print_json(_facts(view))
        return 0
    out = console()
    if once:
        out.print(render_screen(view, out.width))
        return 0
    try:
        (_live if out.is_terminal else _log)(follower, view, every)
    except KeyboardInterrupt:  # it only reads: leaving early loses nothing
        return 0
    return 0


def _live(follower: LiveSweep, view: View, every: float) -> None:
    from rich.console import Group
    from rich.live import Live
    from rich.text import Text

    from raybayes.cli.printing import console
    from raybayes.reporting.terminal.view import render_screen

    out, problem = console(), ""
    with Live(console=out, auto_refresh=False) as live:
        while True:
            lines = [render_screen(view, out.width), *([Text(problem, style="yellow")] if problem else [])]
            live.update(Group(*lines), refresh=True)
            if view.finished:
                return
            view, problem = _next(follower, view, every)


def _log(follower: LiveSweep, view: View, every: float) -> None:
    from raybayes.reporting.terminal.log_lines import new_lines

    before, reported = None, ""
    while True:
        for line in new_lines(before, view):
            _line(line)
        if view.finished:
            return
        before = view
        view, problem = _next(follower, view, every)
        if problem and problem != reported:
            _line(problem)
        reported = problem


def _next(follower: LiveSweep, view: View, every: float) -> tuple[View, str]:
    """The next view, or the last one and the reason: a shared disk may be unavailable for a while."""
    from raybayes.errors import StoreError

    time.sleep(every)
    try:
        return follower.look(), ""
    except StoreError as error:
        return view, str(error)


def _line(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def _facts(view: View) -> dict[str, Any]:
    from raybayes.reporting.terminal.view import estimate_seconds_left

    return {
        "path": view.path,
        "wanted": view.wanted,
        "states": dict(view.states),
        "finished": view.finished,
        "best": view.best,
        "seconds_left": estimate_seconds_left(view),
        "worker": None if view.active_burst is None else vars(view.active_burst),
        "usage": dict(view.usage),
        "trials": view.trials.to_pylist(),
    }
