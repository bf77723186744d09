"""`raybayes sweep`, `resume`, `extend`."""

from __future__ import annotations

from typing import Annotated, Any, Optional

import typer

from raybayes.cli import options


def sweep(
    project: Annotated[Optional[str], typer.Argument(help="See `raybayes projects`.")] = None,  # noqa: UP045
    trials: Annotated[Optional[int], typer.Option(help="Trials in all. [default: 10]")] = None,  # noqa: UP045
    space: Annotated[Optional[str], typer.Option(help="Space of the project. [default: SPACE]")] = None,  # noqa: UP045
    sampler: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="tpe, gp, cmaes, nsga2, random, grid, or an Optuna sampler's import path. [default: tpe]"),
    ] = None,
    scheduler: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="none, asha, median, hyperband, pbt; options: asha:eta=4,grace_period=2. [default: none]"),
    ] = None,
    objective: Annotated[Optional[str], typer.Option(help="Metric, or several joined by commas.")] = None,  # noqa: UP045
    constraint: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(metavar="METRIC<=X", help="A bound that a good trial keeps; may be given several times."),
    ] = None,
    repeats: Annotated[Optional[int], typer.Option(help="Seeds a configuration is run with. [default: 1]")] = None,  # noqa: UP045
    settings: options.Settings = None,
    config: options.Config = None,
    time_budget: options.TimeBudget = None,
    concurrency: options.Concurrency = None,
    weight: options.Weight = None,
    workers: Annotated[Optional[int], typer.Option(help="Workers that train one trial together.")] = None,  # noqa: UP045
    cpus_per_worker: Annotated[Optional[float], typer.Option(help="CPU cores of one worker.")] = None,  # noqa: UP045
    gpus_per_worker: Annotated[Optional[float], typer.Option(help="GPUs of one worker.")] = None,  # noqa: UP045
    data: options.Data = None,
    storage: options.Storage = None,
    name: options.RunName = None,
    seed: Annotated[Optional[int], typer.Option(help="Seed of every random draw. [default: 0]")] = None,  # noqa: UP045
    keep_checkpoints: options.KeepCheckpoints = None,
    retries: options.Retries = None,
    report_timeout: options.ReportLimit = None,
    isolate: options.Isolate = None,
    ask_ahead: options.AskAhead = None,
    fuse: options.Fuse = None,
    warm_start: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            metavar="PATH|auto|none",
            help="Earlier sweeps to learn from: a path, or all finished ones of this space in --storage.",
        ),
    ] = None,
    confirm: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="TOPxSEEDS", help="Repeat the best over fresh seeds at the end, e.g. 5x3."),
    ] = None,
    spec: Annotated[Optional[str], typer.Option(metavar="FILE", help="YAML file of all these.")] = None,  # noqa: UP045
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and start nothing.")] = False,
    walltime: options.Walltime = None,
    local: options.Local = False,
    json: options.Json = False,
) -> int:
    """Search a project's hyperparameters with Optuna, on Ray Tune."""
    from raybayes import api
    from raybayes.cli.specfile import sweep_spec

    flags: dict[str, Any] = {
        "project": project,
        "trials": trials,
        "space": space,
        "sampler": sampler,
        "scheduler": scheduler,
        "objective": objective,
        "repeats": repeats,
        "time_budget_s": time_budget,
        "concurrency": concurrency,
        "weight": weight,
        "data": data,
        "storage": storage,
        "name": name,
        "seed": seed,
        "retries": retries,
        "report_timeout_s": report_timeout,
        "reuse": reuse_of(isolate),
        "ask_ahead": ask_ahead,
        "fuse": fuse,
        "warm_start": warm_start,
        "confirm": confirm,
    }
    resources = {"workers": workers, "cpus_per_worker": cpus_per_worker, "gpus_per_worker": gpus_per_worker}
    wanted = sweep_spec(flags, resources, keep_checkpoints, settings or [], config, constraint or [], spec)
    if dry_run:
        from raybayes.cli.dryrun import print_plan

        print_plan(wanted, json)
        return 0
    return watched(lambda watch, executor: api.start(wanted, executor, watch, walltime), wanted.name, local, json)


def burst_changes(
    settings: options.Narrow = None,
    scheduler: Annotated[Optional[str], typer.Option(help="Another scheduler from now on.")] = None,  # noqa: UP045
    concurrency: options.Concurrency = None,
    weight: options.Weight = None,
    time_budget: options.TimeBudget = None,
    retries: options.Retries = None,
    report_timeout: options.ReportLimit = None,
    isolate: options.Isolate = None,
    ask_ahead: options.AskAhead = None,
    fuse: options.Fuse = None,
    keep_checkpoints: options.KeepCheckpoints = None,
    data: options.Data = None,
    walltime: options.Walltime = None,
) -> dict[str, Any]:
    """What the flags of a command change for the bursts from now on; flags that were not given change nothing."""
    from raybayes.spec.sweep_spec import parse_duration
    from raybayes.spec.yaml_files import parse_settings

    given = {
        "scheduler": scheduler,
        "concurrency": concurrency,
        "weight": weight,
        "data": data,
        "walltime": walltime,
        "ask_ahead": ask_ahead,
        "fuse": fuse,
        "reuse": reuse_of(isolate),
        "retries": retries,
        "time_budget_s": parse_duration(time_budget),
        "report_timeout_s": parse_duration(report_timeout),
        "checkpoints": None if keep_checkpoints is None else {"keep": keep_checkpoints},
        "fixed_params": parse_settings(settings) if settings else None,
    }
    return {name: value for name, value in given.items() if value is not None}


@options.taking(burst_changes)
def resume(
    path: Annotated[str, typer.Argument(help="The sweep's folder.")],
    changes: dict[str, Any],
    local: options.Local = False,
    json: options.Json = False,
) -> int:
    """Go on with an interrupted sweep: unfinished trials first, from their last checkpoints."""
    from raybayes import api

    return watched(lambda w, e: api.resume(path, executor=e, watch=w, **changes), path, local, json)


@options.taking(burst_changes)
def extend(
    path: Annotated[str, typer.Argument(help="The sweep's folder.")],
    trials: Annotated[int, typer.Option(help="How many more.")],
    changes: dict[str, Any],
    local: options.Local = False,
    json: options.Json = False,
) -> int:
    """Add trials to a sweep, finished or not."""
    from raybayes import api

    return watched(lambda w, e: api.extend(path, trials, executor=e, watch=w, **changes), path, local, json)


def reuse_of(isolate: bool | None) -> dict[str, Any] | None:
    """What --isolate and --reuse set; None: what the spec says."""
    from raybayes.spec.sweep_spec import Reuse

    return None if isolate is None else {"trials": 1 if isolate else Reuse().trials}


def watched(call: Any, title: str, local: bool, json: bool) -> int:
    """Run a burst with its progress shown, then print the sweep."""
    from raybayes.cli.progress import ProgressView
    from raybayes.cli.show import print_sweep

    with ProgressView(title, quiet=json) as view:
        found = call(view.show, "local" if local else "ray")
    print_sweep(found, json)
    return 0
