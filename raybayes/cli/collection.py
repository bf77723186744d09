"""`raybayes list`, `compare` and `rm`: many sweeps."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from raybayes.cli import options
from raybayes.errors import SpecError


def list_(
    storage: Annotated[str | None, typer.Argument(help="Folder or URI that holds the sweeps.")] = None,
    json: options.Json = False,
) -> int:
    """List the sweeps and runs of a storage: project, state, best, age, who works on them."""
    from raybayes.cli.printing import console, plain_table, print_json
    from raybayes.sweeps.collection import as_row, list_sweeps

    found = list_sweeps(storage)
    if json:
        print_json([as_row(each) for each in found])
        return 0
    out = console()
    if not found:
        out.print("no sweep there yet", markup=False)
        return 0
    table = plain_table("sweep", "project", "state", "trials", "best", "age", "worked on by")
    for each in found:
        table.add_row(each.name, each.project, each.state, each.trials, each.best, each.age, each.worker)
    out.print(table, markup=False)
    return 0


def compare(
    paths: Annotated[list[str], typer.Argument(help="Folders or URIs of sweeps with the same objective.")],
    page: Annotated[str | None, typer.Option(metavar="FILE", help="Write table and curves as an HTML page.")] = None,
    json: options.Json = False,
) -> int:
    """Put sweeps side by side: the best values, and the best against trials and hours of training."""
    from pathlib import Path

    from raybayes.cli.printing import console, print_json
    from raybayes.reporting.tables.findings import findings_table
    from raybayes.sweeps.collection import compare as compare_sweeps

    found = compare_sweeps(paths)
    if page is not None:
        try:
            Path(page).write_text(found.page(), encoding="utf-8")
        except OSError as error:
            raise SpecError(f"--page {page} cannot be written: {error.strerror}; choose another file.") from None
    if json:
        curves = {name: {"best": list(curve.best), "hours": list(curve.hours)} for name, curve in found.curves.items()}
        print_json({"sweeps": found.table.to_pylist(), "curves": curves, "page": page})
        return 0
    out = console()
    out.print(findings_table(found.table, width=out.width))
    if page is not None:
        out.print(page, markup=False, soft_wrap=True)
    return 0


def remove(
    path: Annotated[str, typer.Argument(help="Folder or URI of a sweep or run.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: options.Json = False,
) -> int:
    """Delete a sweep with all that it has stored. Asks first; refuses one that a burst works on."""
    from raybayes.cli.printing import print_json
    from raybayes.store.lock import BurstLock
    from raybayes.sweeps.collection import remove as remove_sweep
    from raybayes.sweeps.results import SweepResult

    found = SweepResult(path)
    BurstLock(found.layout).require_free()
    if not yes:
        if not sys.stdin.isatty():
            raise SpecError(f"{path}: nobody can be asked here; give --yes to delete it.")
        size = found.checkpoint_bytes / 1e6
        said = f"{len(found.records)} trials, {found.best_summary} {size:.4g} MB of checkpoints."
        if not typer.confirm(f"Delete {found.path}? {said}"):
            print("nothing was deleted")
            return 0
    removed = remove_sweep(path)
    if json:
        print_json({"removed": removed})
    else:
        print(f"deleted {removed}")
    return 0
