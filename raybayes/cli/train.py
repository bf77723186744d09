"""`raybayes train`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from raybayes.cli import options


@options.of("train")
def train(
    project: Annotated[str, typer.Argument(help="See `raybayes projects`.")],
    given: dict[str, Any],
    config_file: options.Config = None,
    json: options.Json = False,
) -> int:
    """Train one configuration, on one or many Ray Train workers."""
    from raybayes import api
    from raybayes.cli.progress import ProgressView
    from raybayes.cli.show import print_run
    from raybayes.cli.specfile import config_values

    wanted = {**given, "config": config_values(given, config_file)}
    with ProgressView(given.get("name") or project, quiet=json, trial_log=True) as view:
        found = api.train(project, watch=view.show, **wanted)
    print_run(found, json)
    return 0
