"""`raybayes confirm`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from raybayes.cli import options
from raybayes.cli.sweep import Path, watched


@options.of("confirm")
def confirm(
    path: Path,
    given: dict[str, Any],
    top: Annotated[int, typer.Option(help="How many of the best configurations are repeated.")] = 5,
    repeats: Annotated[int, typer.Option(help="Fresh seeds per configuration; clear losers stop earlier.")] = 5,
    json: options.Json = False,
) -> int:
    """Repeat the best trials of a sweep over fresh seeds and choose the winner by mean."""
    from raybayes import api

    return watched(lambda watch: api.confirm(path, top, repeats, watch=watch, **given), path, json)
