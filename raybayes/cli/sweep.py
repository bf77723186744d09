"""`raybayes sweep`, `resume`, `extend`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raybayes.cli import options
from raybayes.cli.specfile import OwnWords, sweep_spec
from raybayes.errors import SpecError

if TYPE_CHECKING:
    from raybayes.search.progress import Watch
    from raybayes.sweeps.results import SweepResult

Path = Annotated[str, typer.Argument(help="The sweep's folder or URI.")]


@options.of("sweep")
def sweep(
    context: typer.Context,
    given: dict[str, Any],
    project: options.Trained = None,
    param: options.Param = None,
    metric: options.MetricPattern = None,
    config_file: options.Config = None,
    spec: Annotated[str | None, typer.Option(metavar="FILE", help="YAML file of all these options.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and start nothing.")] = False,
    json: options.Json = False,
) -> int:
    """Search the hyperparameters of a project, of your own function, or of a command (after --), on Ray Tune."""
    from raybayes import api

    own = OwnWords(tuple(context.obj or ()), tuple(param or ()), tuple(metric or ()))
    wanted, executor, walltime, training = sweep_spec(project, given, config_file, spec, own)
    if dry_run:
        from raybayes.cli.dryrun import print_plan

        print_plan(wanted, json, training)
        return 0
    return watched(lambda watch: api.start(wanted, executor, watch, walltime, training), wanted.name, json)


@options.of("resume")
def resume(
    path: Path,
    given: dict[str, Any],
    trial: Annotated[list[int] | None, typer.Argument(help="Trials that --retry-failed runs again.")] = None,
    json: options.Json = False,
) -> int:
    """Resume an interrupted sweep: unfinished trials first, from their last checkpoints."""
    from raybayes import api

    if trial:
        if "retry_failed" not in given:
            raise SpecError(f"found the trials {', '.join(map(str, trial))}; --retry-failed runs failed trials again.")
        given["retry_failed"] = trial
    return watched(lambda watch: api.resume(path, watch=watch, **given), path, json)


@options.of("extend")
def extend(
    path: Path,
    trials: Annotated[int, typer.Option(help="How many more.")],
    given: dict[str, Any],
    json: options.Json = False,
) -> int:
    """Add trials to a sweep, finished or not."""
    from raybayes import api

    return watched(lambda watch: api.extend(path, trials, watch=watch, **given), path, json)


def watched(call: Callable[[Watch], SweepResult], title: str, json: bool) -> int:
    """Run a burst with its progress shown, then print the sweep."""
    from raybayes.cli.show import print_sweep
    from raybayes.reporting.terminal.live import ProgressView

    with ProgressView(title, quiet=json) as view:
        found = call(view.show)
    print_sweep(found, json)
    return 0
