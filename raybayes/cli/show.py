"""`raybayes show`, `rescore` and `report`, and how sweeps and runs are printed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from raybayes.cli import options

if TYPE_CHECKING:
    from rich.console import Console

    from raybayes.contract import Findings
    from raybayes.sweeps.results import SweepResult

Path = Annotated[str, typer.Argument(help="Folder or URI of a sweep or run.")]


def show(
    path: Path,
    findings: Annotated[bool, typer.Option("--findings", help="Also print the findings of the project.")] = False,
    profile: Annotated[bool, typer.Option("--profile", help="Print where the time of each slot went instead.")] = False,
    attempts: Annotated[
        bool, typer.Option("--attempts", help="Print each start of a run instead, and why it ended.")
    ] = False,
    json: options.Json = False,
) -> int:
    """Print the table of a sweep or run. Reads only its folder; works while it runs."""
    from raybayes.sweeps.results import SweepResult

    found = SweepResult(path)
    if attempts:
        from raybayes.cli.attempts import print_attempts

        print_attempts(found, json)
        return 0
    if profile:
        print_profile(found, json)
        return 0
    (print_run if found.spec.kind == "train" else print_sweep)(found, json, findings)
    return 0


def rescore(
    path: Path,
    settings: Annotated[
        list[str] | None,
        typer.Option("-s", "--set", metavar="KEY=VALUE", help="Setting of the project's rescoring; may be repeated."),
    ] = None,
    csv: Annotated[str | None, typer.Option(metavar="FILE", help="Write the long table as CSV.")] = None,
    parquet: Annotated[str | None, typer.Option(metavar="FILE", help="Write the long table as Parquet.")] = None,
    figures: Annotated[str | None, typer.Option(metavar="FOLDER", help="Write the figures as PNG.")] = None,
    json: options.Json = False,
) -> int:
    """Recompute the results of a sweep from its stored tables, without training and without a GPU."""
    from raybayes.cli.printing import console, print_json
    from raybayes.reporting.export import Kind, write_figures, write_long
    from raybayes.spec.yaml_files import parse_settings
    from raybayes.sweeps.results import SweepResult

    made = SweepResult(path).rescore(parse_settings(settings or []))
    wanted: list[tuple[Kind, str | None]] = [("csv", csv), ("parquet", parquet)]
    written = [write_long(made.results, file, kind) for kind, file in wanted if file is not None]
    if figures is not None:
        written += write_figures(made.figures, figures)
    if json:
        print_json({"findings": findings_rows(made), "files": written})
        return 0
    out = console()
    print_findings(made, out)
    for file in written:
        out.print(file, markup=False, soft_wrap=True)
    return 0


def report(
    path: Path,
    figures: Annotated[
        str | None, typer.Option(help="More figures, joined by commas: contour, rank, distribution, hypervolume.")
    ] = None,
    json: options.Json = False,
) -> int:
    """Draw the figures of a sweep and write its report.html."""
    from raybayes.cli.printing import print_json
    from raybayes.sweeps.results import SweepResult

    found = SweepResult(path)
    page = found.report([name.strip() for name in (figures or "").split(",") if name.strip()])
    if json:
        print_json({"report": page})
    else:
        print(page if found.owner is None else f"{page} (in the folder of {found.owner})")
    return 0


def print_sweep(found: SweepResult, as_json: bool, findings: bool = True) -> None:
    """All trials, best first, the best marked; then the findings of the project; the path last."""
    from raybayes.cli.attempts import print_repeated
    from raybayes.cli.printing import console, print_json
    from raybayes.reporting.ranking import best_trials
    from raybayes.reporting.tables.trials_table import trials_table

    objectives = found.objectives
    if as_json:
        rows = found.trials.to_pylist()
        more = {"findings": findings_rows(found.findings())} if findings else {}
        facts = {"path": found.path, "best": best_trials(found.trials, objectives), "best_summary": found.best_summary,
                 "stop_reason": found.stop_reason}  # fmt: skip
        code = [{"burst": burst, **stamp} for burst, stamp in found.code.items()]
        print_json({**facts, "checkpoint_bytes": found.checkpoint_bytes, "trials": rows, "code": code, **more})
        return
    out = console()
    out.print(trials_table(found.trials, objectives, width=out.width))
    out.print(found.best_summary, markup=False, highlight=False)
    if found.warm_start_remark:
        out.print(f"warm start: {found.warm_start_remark}", markup=False, highlight=False)
    if found.stop_reason:
        again = f"raybayes resume {found.path} --stop-when none --budget none"
        out.print(f"stopped by {found.stop_reason}; go on with: {again}", markup=False, highlight=False)
    print_repeated(found, out)
    if found.checkpoint_bytes:
        out.print(f"checkpoints: {found.checkpoint_bytes / 1e6:.4g} MB", markup=False, highlight=False)
    if findings:
        print_findings(found.findings(), out)
    _print_path(found, out)


def _print_path(found: SweepResult, out: Console) -> None:
    """The folder, and whose it is if it is not yours."""
    owner = "" if found.owner is None else f" (the folder of {found.owner})"
    out.print(f"{found.path}{owner}", markup=False, highlight=False, soft_wrap=True)


def print_profile(found: SweepResult, as_json: bool) -> None:
    """The shares of each slot's time, in percent."""
    from raybayes.cli.printing import console, plain_table, print_json
    from raybayes.reporting.tables.slot_shares import slot_shares, to_percent

    found_shares = slot_shares(found.profile())
    if as_json:
        print_json({"path": found.path, "slots": found_shares.to_pylist()})
        return
    out = console()
    if not len(found_shares):
        out.print("no run has finished in a slot yet (a sweep with --local has no slots)", markup=False)
        return
    rows = to_percent(found_shares)
    table = plain_table(*rows.column_names)
    for row in rows.to_pylist():
        table.add_row(*(str(value) for value in row.values()))
    out.print(table)
    out.print(found.path, markup=False, soft_wrap=True)


def findings_rows(findings: Findings) -> dict[str, list[dict[str, Any]]]:
    return {title: table.to_pylist() for title, table in findings.tables.items()}


def print_findings(findings: Findings, out: Console) -> None:
    from raybayes.reporting.tables.findings import findings_table

    for title, table in findings.tables.items():
        out.print(f"\n{title}", markup=False)
        out.print(findings_table(table, width=out.width))


def print_run(found: SweepResult, as_json: bool, findings: bool = False) -> None:
    """The last value of every metric, the tables that were saved, the path."""
    from raybayes.cli.attempts import print_repeated
    from raybayes.cli.printing import console, plain_table, print_json
    from raybayes.store.logs.reports import FIXED

    rows = found.reports.to_pylist()
    names = [name for name in found.reports.column_names if name not in FIXED.names]
    last = {name: row[name] for row in rows for name in names if row[name] is not None}
    trial = found.trials.to_pylist()[0] if len(found.trials) else {"state": "RUNNING", "seconds": 0.0, "failure": None}
    if as_json:
        facts = {"path": found.path, "state": trial["state"], "reports": len(rows), "metrics": last}
        more = {"findings": findings_rows(found.findings())} if findings else {}
        print_json({**facts, "tables": found.tables, **more})
        return
    out = console()
    table = plain_table("metric", "last value", "reports")
    for name, value in last.items():
        table.add_row(name, f"{value:.6g}", str(sum(row[name] is not None for row in rows)))
    out.print(table)
    out.print(f"{trial['state']} after {len(rows)} reports and {trial['seconds']:.1f} s of training", markup=False)
    if trial["failure"]:
        out.print(trial["failure"], markup=False)
    print_repeated(found, out)
    if found.tables:
        out.print(f"tables: {', '.join(found.tables)}", markup=False)
    if findings:
        print_findings(found.findings(), out)
    _print_path(found, out)
