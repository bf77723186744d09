"""`raybayes data list | check | fetch`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from raybayes.cli import options

if TYPE_CHECKING:
    from raybayes.data import Check

app = typer.Typer(help="List, check and download data sets.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="See `raybayes data list`.")]


@app.command("list")
def list_(data: options.Data = None, json: options.Json = False) -> int:
    """List the data sets and where each was found."""
    from dataclasses import asdict

    from raybayes.cli.printing import console, plain_table, print_json
    from raybayes.data import listing

    found = listing(data)
    if json:
        print_json([asdict(entry) for entry in found])
        return 0
    table = plain_table("data set", "rows", "size", "where", "what it is", "licence")
    for entry in found:
        table.add_row(entry.name, f"{entry.rows:,}", _size(entry.size_bytes), entry.where, entry.doc, entry.licence)
    console().print(table)
    return 0


@app.command()
def check(name: Name, data: options.Data = None, json: options.Json = False) -> int:
    """Read a data set (or a Parquet file) and compare it with its declaration."""
    from raybayes import data as sets

    return _answer(sets.check(name, data), json)


@app.command()
def fetch(name: Name, data: options.Data = None, json: options.Json = False) -> int:
    """Download a data set from its public source and check it."""
    from raybayes import data as sets

    return _answer(sets.fetch(name, data), json)


def _answer(found: Check, json: bool) -> int:
    from raybayes.cli.printing import console, print_json

    if json:
        print_json(
            {
                "name": found.name,
                "where": str(found.origin),
                "rows": dict(found.rows),
                "columns": dict(found.columns),
                "fingerprint": found.fingerprint,
                "problems": list(found.problems),
            }
        )
        return 0 if found.ok else 2
    out = console()
    out.print(f"{found.name}: {found.origin}", markup=False)
    out.print("rows: " + ", ".join(f"{split} {rows:,}" for split, rows in found.rows.items()), markup=False)
    out.print("columns: " + ", ".join(f"{column} {kind}" for column, kind in found.columns.items()), markup=False)
    out.print(f"fingerprint: {found.fingerprint}", markup=False)
    for problem in found.problems:
        out.print(f"problem: {problem}", markup=False)
    out.print("no problems" if found.ok else f"{len(found.problems)} problem(s)", markup=False)
    return 0 if found.ok else 2


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.1f} MB" if size_bytes >= 1e6 else f"{size_bytes / 1e3:.0f} kB"
