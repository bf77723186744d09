"""`raybayes train`."""

from __future__ import annotations

from typing import Any

import typer

from raybayes.cli import options
from raybayes.errors import SpecError


@options.of("train")
def train(
    context: typer.Context,
    given: dict[str, Any],
    project: options.Trained = None,
    config_file: options.Config = None,
    json: options.Json = False,
) -> int:
    """Train one configuration, on one or many Ray Train workers."""
    from raybayes import api
    from raybayes.cli.show import print_run
    from raybayes.cli.specfile import config_values
    from raybayes.reporting.terminal.live import ProgressView

    command = tuple(context.obj or ())
    if (project is None) == (not command):
        raise SpecError("give a project (raybayes projects lists them), FILE.py:NAME, or a command after --.")
    wanted = {**given, "config": config_values(given, config_file)}
    title = given.get("name") or project or command[0]
    with ProgressView(title, quiet=json, trial_log=True) as view:
        found = api.train(project or command, watch=view.show, **wanted)
    print_run(found, json)
    return 0
