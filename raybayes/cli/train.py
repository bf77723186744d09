"""`raybayes train`."""

from __future__ import annotations

from typing import Annotated

import typer

from raybayes.cli import options


def train(
    project: Annotated[str, typer.Argument(help="See `raybayes projects`.")],
    settings: options.Settings = None,
    config: options.Config = None,
    workers: options.Workers = 1,
    cpus_per_worker: options.Cpus = 1.0,
    gpus_per_worker: options.Gpus = 0.0,
    data: options.Data = None,
    storage: options.Storage = None,
    name: options.RunName = None,
    seed: options.Seed = 0,
    walltime: options.Walltime = None,
    local: options.Local = False,
    json: options.Json = False,
) -> int:
    """Train one configuration, on one or many Ray Train workers."""
    from raybayes import api
    from raybayes.cli.progress import ProgressView
    from raybayes.cli.show import print_run
    from raybayes.cli.specfile import config_values

    values = config_values(settings or [], config)
    with ProgressView(name or project, quiet=json, trial_log=True) as view:
        found = api.train(
            project,
            values,
            workers=workers,
            cpus_per_worker=cpus_per_worker,
            gpus_per_worker=gpus_per_worker,
            storage=storage,
            name=name,
            seed=seed,
            data=data,
            walltime=walltime,
            executor="local" if local else "ray",
            watch=view.show,
        )
    print_run(found, json)
    return 0
