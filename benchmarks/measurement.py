"""What a benchmark has measured: medians of each side, ratios to one of them, a Parquet table and a Markdown page."""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import statistics
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from raybayes import __version__

REFERENCE = "raybayes"
RESULTS = Path(__file__).parent / "results"
PACKAGES = ("ray", "optuna", "torch", "pyarrow")
SCHEMA = pa.schema(
    [
        ("claim", pa.string()),
        ("side", pa.string()),
        ("n", pa.int64()),  # repeats
        ("median_s", pa.float64()),
        ("low_s", pa.float64()),
        ("high_s", pa.float64()),
        ("ratio", pa.float64()),  # raybayes' median over this side's; below 1: raybayes is quicker
        ("share", pa.float64()),  # of the time of all slots that was training, where the claim is about that
        ("load_before", pa.float64()),
        ("load_after", pa.float64()),
        ("machine", pa.string()),
        ("versions", pa.string()),
        ("date", pa.string()),
    ]
)


@dataclass(frozen=True)
class Sample:
    """One measurement.

    Args:
        claim: what is measured, the same text for all sides that are compared.
        side: who did it.
        seconds: how long it took.
        share: part of the time of all slots that was training, in [0, 1].
    """

    claim: str
    side: str
    seconds: float
    share: float | None = None


@dataclass(frozen=True)
class Row:
    """One side of one claim: median, lowest and highest of `n` measurements in seconds, ratio and share."""

    claim: str
    side: str
    n: int
    median_s: float
    low_s: float
    high_s: float
    ratio: float | None
    share: float | None


@dataclass(frozen=True)
class Machine:
    """Where and when it was measured, and how busy the machine was: its mean number of running processes in 1 min."""

    cpus: int
    system: str
    load_before: float
    load_after: float
    versions: str
    date: str

    def __str__(self) -> str:
        return f"{self.cpus} CPUs, {self.system}"


def load() -> float:
    """The mean number of running processes of the last minute."""
    return os.getloadavg()[0]


def this_machine(load_before: float) -> Machine:
    """This machine at the end of a benchmark."""
    numbers = [f"{name} {version(name)}" for name in PACKAGES]
    versions = ", ".join([f"raybayes at {_commit()}", f"python {platform.python_version()}", *numbers])
    system = f"{platform.system()} {platform.machine()}"
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return Machine(os.cpu_count() or 1, system, load_before, load(), versions, today)


def _commit() -> str:
    """The commit that was measured, "-dirty" if files differ from it; the version where there is no checkout."""
    describe = ["git", "describe", "--always", "--dirty"]
    try:
        found = subprocess.run(describe, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return __version__
    return found.stdout.strip() or __version__


def summarise(samples: Iterable[Sample], reference: str = REFERENCE) -> list[Row]:
    """Medians and ratios, claims and sides in the order of their first measurement.

    A ratio is the reference's median over the side's own; there is none where the reference was not measured.
    """
    groups: dict[str, dict[str, list[Sample]]] = {}
    for sample in samples:
        groups.setdefault(sample.claim, {}).setdefault(sample.side, []).append(sample)
    rows = []
    for claim, sides in groups.items():
        medians = {side: statistics.median(sample.seconds for sample in found) for side, found in sides.items()}
        for side, found in sides.items():
            seconds = [sample.seconds for sample in found]
            shares = [sample.share for sample in found if sample.share is not None]
            ratio = medians[reference] / medians[side] if reference in medians and medians[side] else None
            share = statistics.median(shares) if shares else None
            rows.append(Row(claim, side, len(found), medians[side], min(seconds), max(seconds), ratio, share))
    return rows


def as_table(rows: Sequence[Row], machine: Machine) -> pa.Table:
    """One row a side, in the columns of SCHEMA."""
    shared = {
        "load_before": machine.load_before,
        "load_after": machine.load_after,
        "machine": str(machine),
        "versions": machine.versions,
        "date": machine.date,
    }
    return pa.Table.from_pylist([{**vars(row), **shared} for row in rows], schema=SCHEMA)


def as_markdown(title: str, notes: str, rows: Sequence[Row], machine: Machine) -> str:
    """A page with one table a claim.

    Args:
        notes: how it was measured, in Markdown; stands above the tables.
    """
    lines = [f"# {title}", "", notes.strip(), ""]
    lines += [
        f"Measured {machine.date} on {machine}; load {machine.load_before:.2f} before, {machine.load_after:.2f} after.",
        f"Versions: {machine.versions}.",
    ]
    for claim in dict.fromkeys(row.claim for row in rows):
        mine = [row for row in rows if row.claim == claim]
        with_share = any(row.share is not None for row in mine)
        head = ["side", "n", "median", "low", "high", f"{REFERENCE} / side", *(["in training"] if with_share else [])]
        lines += ["", f"## {claim}", "", _line(head), _line(["---", *["---:"] * (len(head) - 1)])]
        lines += [_line(_cells(row)[: len(head)]) for row in mine]
    return "\n".join(lines) + "\n"


def _cells(row: Row) -> list[str]:
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
    share = "" if row.share is None else f"{row.share:.1%}"
    return [row.side, str(row.n), *(shown(s) for s in (row.median_s, row.low_s, row.high_s)), ratio, share]


def shown(seconds: float) -> str:
    """A time to read: three digits, in s, ms or µs."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if abs(seconds) >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} µs"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def write(folder: Path, name: str, title: str, notes: str, rows: Sequence[Row], machine: Machine) -> str:
    """Write `<name>.parquet` and `<name>.md` into the folder; returns the page."""
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(as_table(rows, machine), folder / f"{name}.parquet")
    page = as_markdown(title, notes, rows, machine)
    (folder / f"{name}.md").write_text(page, encoding="utf-8")
    return page


def parser(name: str, doc: str | None, quick: str) -> argparse.ArgumentParser:
    """The command line that all benchmarks have: `--quick` and `--out`.

    Args:
        quick: what `--quick` does; it keeps no results.
    """
    made = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=doc)
    made.add_argument("--quick", action="store_true", help=f"{quick}, to see that it runs; keeps no results")
    made.add_argument("--out", type=Path, default=RESULTS, help="folder of the results (%(default)s)")
    return made


def publish(
    options: argparse.Namespace, name: str, title: str, notes: str, samples: Iterable[Sample], load_before: float
) -> int:
    """Print the page of what was measured, and keep it unless it was a quick look. Returns the exit code, 0."""
    rows, machine = summarise(samples), this_machine(load_before)
    if options.quick:
        print(as_markdown(title, notes, rows, machine))
    else:
        print(write(options.out, name, title, notes, rows, machine))
    return 0
