"""`raybayes import`: a sweep made of trials from elsewhere."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from raybayes.cli import options
from raybayes.cli.specfile import config_values
from raybayes.errors import SpecError

_DATABASES = ("sqlite:", "mysql", "postgresql")


@options.of("sweep")
def import_(
    given: dict[str, Any],
    source: Annotated[str | None, typer.Argument(help="A CSV or Parquet file, or an Optuna storage.")] = None,
    project: Annotated[str | None, typer.Option(help="See `raybayes projects`; or FILE.py:NAME.")] = None,
    study: Annotated[str | None, typer.Option(help="The study of an Optuna storage.")] = None,
    skip_misfits: Annotated[bool, typer.Option("--skip-misfits", help="Leave out rows that do not fit.")] = False,
    param: options.Param = None,
    config_file: options.Config = None,
    json: options.Json = False,
) -> int:
    """Make a sweep of finished trials: from a table, or from Optuna (--storage sqlite:///old.db --study S)."""
    from raybayes.cli.printing import print_json
    from raybayes.sweeps.importing import import_as
    from raybayes.training.parameters import parse_parameters

    if str(given.get("storage", "")).startswith(_DATABASES):
        if source is not None:
            raise SpecError(f"found two sources, {source} and {given['storage']}; give one of them.")
        source = given.pop("storage")
    if source is None:
        raise SpecError("give a CSV or Parquet file, or --storage sqlite:///old.db --study S.")
    given["config"] = config_values(given, config_file)
    if param:
        given["space"] = parse_parameters(param)
    found = import_as(source, project, study, skip_misfits, given)
    if json:
        print_json({"path": found.path, "trials": found.trials, "remarks": list(found.remarks)})
        return 0
    for remark in found.remarks:
        print(remark)
    print(f"{found.trials} trials imported")
    print(found.path)
    return 0
