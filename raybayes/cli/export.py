"""`raybayes export`: a sweep's tables as files for other programs."""

from __future__ import annotations

from typing import Annotated

import typer

from raybayes.cli import options


def export(
    path: Annotated[str, typer.Argument(help="Folder or URI of a sweep or run.")],
    format: Annotated[str, typer.Option(help="File format: csv, parquet or json.")] = "csv",
    what: Annotated[
        str, typer.Option(help="Table to write: trials, reports, or the name of a stored table.")
    ] = "trials",
    to: Annotated[str | None, typer.Option(metavar="URL", help="Copy the study to Optuna: sqlite:///x.db.")] = None,
    study: Annotated[str | None, typer.Option(help="Name of that copy. [default: the sweep's]")] = None,
    out: Annotated[str | None, typer.Option(metavar="FILE", help="Output file; - prints. [default: by name]")] = None,
    json: options.Json = False,
) -> int:
    """Write the trials, the reports or a stored table of a sweep as CSV, Parquet or JSON, or its study to Optuna."""
    from raybayes.cli.printing import print_json
    from raybayes.errors import SpecError
    from raybayes.reporting.export import KINDS, write_long
    from raybayes.sweeps.results import SweepResult

    kind = next((kind for kind in KINDS if kind == format.lower()), None)
    if kind is None:
        raise SpecError(f"--format: found {format!r}; use {', '.join(KINDS)}.")
    found = SweepResult(path)
    if to is not None:
        name = found.export_study(to, study)
        if json:
            print_json({"storage": to, "study": name})
        else:
            print(f"study {name} in {to}")
        return 0
    written = write_long(found.frame(what), out or f"{found.layout.name}-{what}.{kind}", kind)
    if json:
        print_json({"file": written})
    elif written != "-":
        print(written)
    return 0
