"""How attempts are printed: `raybayes show PATH --attempts`, and the lines of `show` on what was started again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from raybayes.cli.printing import console, plain_table, print_json

if TYPE_CHECKING:
    from rich.console import Console

    from raybayes.sweeps.results import SweepResult

_SHOWN = 5  # trials that `show` names


def print_attempts(found: SweepResult, as_json: bool) -> None:
    """Every start of a run, in the order of trials."""
    rows = found.attempts.to_pylist()
    if as_json:
        print_json({"path": found.path, "attempts": rows})
        return
    out = console()
    if not rows:
        out.print("no run has been started yet, or an older raybayes started them all", markup=False)
        return
    table = plain_table("trial", "repeat", "attempt", "burst", "node", "seconds", "end", "cause")
    for row in rows:
        seconds = "" if row["seconds"] is None else f"{row['seconds']:.1f}"
        facts = [str(row[name]) for name in ("trial", "repeat", "attempt", "burst")]
        table.add_row(*facts, _plain(row["node"]), seconds, row["end"] or "runs", _plain(row["cause"]))
    out.print(table)
    out.print(found.path, markup=False, soft_wrap=True)


def print_repeated(found: SweepResult, out: Console) -> None:
    """The trials with a run that was started more than once: how often, and why the last time but one ended."""
    again: dict[int, list[dict[str, Any]]] = {}
    for row in found.attempts.to_pylist():
        again.setdefault(row["trial"], []).append(row)
    repeated = {trial: rows for trial, rows in again.items() if max(row["attempt"] for row in rows) > 1}
    for trial, rows in list(repeated.items())[:_SHOWN]:
        broken = [row for row in rows if row["end"] not in ("complete", "pruned", None)]
        why = f"; the last break: {broken[-1]['end']}" if broken else ""
        cause = f": {broken[-1]['cause']}" if broken and broken[-1]["cause"] else ""
        out.print(f"trial {trial}: {len(rows)} attempts{why}{cause}", markup=False, highlight=False, soft_wrap=True)
    if len(repeated) > _SHOWN:
        out.print(f"and {len(repeated) - _SHOWN} more trials; see --attempts", markup=False)


def _plain(text: str | None) -> str:
    """Text of a file as a cell that rich does not read as markup."""
    return (text or "").replace("[", r"\[")
