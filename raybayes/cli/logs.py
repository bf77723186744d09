"""`raybayes logs`."""

from __future__ import annotations

import sys
import time
from typing import Annotated

import typer

from raybayes.cli import options
from raybayes.errors import StoreError

_POLL_S = 0.5


def logs(
    path: Annotated[str, typer.Argument(help="The folder of a sweep or run.")],
    trial: Annotated[int, typer.Argument(help="Number of the trial.")] = 0,
    repeat: Annotated[int, typer.Option(help="Which repeat of it.")] = 0,
    follow: Annotated[bool, typer.Option("--follow", help="Go on printing until the trial ends.")] = False,
    json: options.Json = False,
) -> int:
    """What a trial printed: the output of a command, bounded in size."""
    from raybayes.store.trial_log import read_log
    from raybayes.sweeps.results import SweepResult

    found = SweepResult(path)
    numbers = [record.number for record in found.records]
    if trial not in numbers:
        raise StoreError(f"{path}: there is no trial {trial}; it has {_range(numbers)}.")
    text = read_log(found.layout, trial, repeat)
    if text is None:
        raise StoreError(f"{path}: trial {trial} has no log; what projects and functions print is not kept.")
    if json:
        from raybayes.cli.printing import print_json

        print_json({"trial": trial, "repeat": repeat, "log": text})
        return 0
    _write(text)
    while follow and SweepResult(path).trials["state"].to_pylist()[trial] in ("RUNNING", "PAUSED"):
        time.sleep(_POLL_S)
        now = read_log(found.layout, trial, repeat) or ""
        _write(now[len(text) :])
        text = now
    return 0


def _range(numbers: list[int]) -> str:
    return f"{min(numbers)} to {max(numbers)}" if numbers else "none yet"


def _write(text: str) -> None:
    """Print without what a terminal would obey: control characters other than line ends and tabs."""
    sys.stdout.write("".join(c if c in "\n\t" or c.isprintable() else repr(c)[1:-1] for c in text))
    sys.stdout.flush()
