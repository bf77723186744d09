"""`raybayes confirm`."""

from __future__ import annotations

from typing import Annotated

import typer

from raybayes.cli import options


def confirm(
    path: Annotated[str, typer.Argument(help="The sweep's folder.")],
    top: Annotated[int, typer.Option(help="How many of the best configurations are repeated.")] = 5,
    repeats: Annotated[int, typer.Option(help="Fresh seeds for each; clear losers stop earlier.")] = 5,
    concurrency: options.Concurrency = None,
    weight: options.Weight = None,
    time_budget: options.TimeBudget = None,
    data: options.Data = None,
    walltime: options.Walltime = None,
    local: options.Local = False,
    json: options.Json = False,
) -> int:
    """Repeat the best trials of a sweep over fresh seeds and choose the winner by mean."""
    from raybayes.cli.sweep import burst_changes, watched
    from raybayes.sweeps.confirmation import confirm as repeat

    changes = burst_changes(
        concurrency=concurrency, weight=weight, time_budget=time_budget, data=data, walltime=walltime
    )
    return watched(lambda w, e: repeat(path, top, repeats, executor=e, watch=w, **changes), f"{path}", local, json)
