"""`raybayes show` and `raybayes report`, and how sweeps and runs are printed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from raybayes.cli import options

if TYPE_CHECKING:
    from raybayes.results import Sweep

Path = Annotated[str, typer.Argument(help="The folder of a sweep or run.")]


def show(path: Path, json: options.Json = False) -> int:
    """The table of a sweep or a run. Reads the folder alone; works while it runs."""
    from raybayes.results import Sweep

    found = Sweep(path)
    (print_run if found.spec.kind == "train" else print_sweep)(found, json)
    return 0


def report(path: Path, json: options.Json = False) -> int:
    """Draw the figures of a sweep and write its report.html."""
    from raybayes.cli.printing import print_json
    from raybayes.results import Sweep

    page = Sweep(path).report()
    if json:
        print_json({"report": page})
    else:
        print(page)
    return 0


def print_sweep(found: Sweep, as_json: bool) -> None:
    """All trials, best first, the best marked; the path last."""
    from raybayes.cli.printing import console, print_json
    from raybayes.report.table import best, trials_table

    objectives = found.summary.objectives
    if as_json:
        rows = found.trials.to_pylist()
        print_json({"path": found.path, "best": best(found.trials, objectives), "trials": rows})
        return
    out = console()
    out.print(trials_table(found.trials, objectives, width=out.width))
    out.print(found.path, markup=False, soft_wrap=True)


def print_run(found: Sweep, as_json: bool) -> None:
    """The last value of every metric, the tables that were saved, the path."""
    from raybayes.cli.printing import console, plain_table, print_json
    from raybayes.store.reports import FIXED

    rows = found.reports.to_pylist()
    names = [name for name in found.reports.column_names if name not in FIXED.names]
    last = {name: row[name] for row in rows for name in names if row[name] is not None}
    trial = found.trials.to_pylist()[0] if len(found.trials) else {"state": "RUNNING", "seconds": 0.0, "error": None}
    if as_json:
        print_json(
            {"path": found.path, "state": trial["state"], "reports": len(rows), "metrics": last, "tables": found.tables}
        )
        return
    out = console()
    table = plain_table("metric", "last value", "reports")
    for name, value in last.items():
        table.add_row(name, f"{value:.6g}", str(sum(row[name] is not None for row in rows)))
    out.print(table)
    out.print(f"{trial['state']} after {len(rows)} reports and {trial['seconds']:.1f} s of training", markup=False)
    if trial["error"]:
        out.print(trial["error"], markup=False)
    if found.tables:
        out.print(f"tables: {', '.join(found.tables)}", markup=False)
    out.print(found.path, markup=False, soft_wrap=True)
