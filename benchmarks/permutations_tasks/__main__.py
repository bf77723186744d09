"""Tours, graphs, Sachs' cells, rankings: `python -m benchmarks.permutations_tasks [--only PART] [--quick]`.

Every part keeps `permutations_<part>.md` and `.parquet` (each number: method, metric, run, unit, evaluations). The full
data are looked up as everywhere (RAYBAYES_DATA). About 15 minutes of one core in all.
"""

from __future__ import annotations

import shlex
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch

import raybayes as rb
from benchmarks import measurement
from raybayes.reporting.tables.findings import findings_columns
from trainables.permutations.analysis.comparison import entries, score_table

RLOO = {"estimator": "rloo", "scale_by_std": True, "lr": 0.1, "reports": 5}
TOURS = ("burma14", "gr17", "ulysses22", "fri26", "bayg29", "att48", "eil51", "berlin52", "brazil58", "st70", "eil101",
         "bier127", "ch130")  # fmt: skip
PLAIN = {"spread": 0.0, "memory": False, "collapse": 1.0, "descent": 0.0}  # gradients alone, as published
Settings = dict[str, Any]


def tours() -> Iterator[Settings]:
    """Every instance by the task's own settings, and by gradients alone."""
    for name in TOURS:
        common = {"task": "tsp", "dataset": "tsp", "tsp.instance": name, "evaluations": 32_000, "runs": 4, "reports": 1}
        yield common
        yield {**common, **PLAIN, "controls": False}


def graphs() -> Iterator[Settings]:
    """Erdos-Renyi graphs with d edges, raw and standardised, by BIC."""
    common = {**RLOO, "task": "causal", "samples": 64, "runs": 5, "causal.score": "bic", "reports": 1}
    for d, evaluations in ((10, 8_000), (20, 16_000), (50, 32_000)):
        for standardise in (False, True):
            yield {**common, "causal.d": d, "causal.standardise": standardise, "evaluations": evaluations}


def sachs() -> Iterator[Settings]:
    """All 7,466 cells at 16,000 and 128,000 evaluations: the search as it is, and without what wakes it up."""
    common = {**RLOO, "task": "causal", "dataset": "sachs", "causal.graph": "sachs", "causal.score": "bic",
              "causal.cells": "all", "runs": 10}  # fmt: skip
    for evaluations in (16_000, 128_000):
        yield {**common, "evaluations": evaluations, "samples": 128}
        yield {**common, "evaluations": evaluations, "samples": 16, "restarts": 8, "controls": False}
        yield {**common, **PLAIN, "evaluations": evaluations, "samples": 128, "controls": False}
    many = {"evaluations": 128_000, "lr": 0.5, "samples": 4, "restarts": 256, "entropy": 0.3, "controls": False}
    yield {**common, **PLAIN, **many}


def ranking() -> Iterator[Settings]:
    """A linear score, NDCG@10 as a black box, 100 updates on all queries."""
    yield {**RLOO, "task": "ranking", "dataset": "ltr", "lr": 0.02, "samples": 16, "evaluations": 1600, "runs": 4}


PARTS = {"tours": tours, "graphs": graphs, "sachs": sachs, "ranking": ranking}


def command(settings: Mapping[str, Any]) -> str:
    """The same run by hand."""
    words = [f"{key}={str(value).lower() if isinstance(value, bool) else value}" for key, value in settings.items()]
    return "raybayes train permutations --local " + " ".join(f"-s {shlex.quote(word)}" for word in words)


def run(settings: Settings, folder: str, name: str) -> tuple[str, pa.Table, pa.Table]:
    """Place, table to read, and every number."""
    found = rb.train("permutations", settings, storage=folder, name=name, executor="local")
    ((place, listed),) = entries(found).items()
    table = score_table(listed)
    assert table is not None
    numbers = found.table("scores").drop_columns(["trial", "repeat", "part"])
    return place, table, numbers.append_column("place", pa.array([place] * len(numbers)))


def section(place: str, settings: Settings, table: pa.Table) -> str:
    """One run's table in Markdown, under its command."""
    shown = findings_columns(table)
    head = f"| {' | '.join(column.header for column in shown)} |"
    rule = f"|{'|'.join('---:' if column.numeric else '---' for column in shown)}|"
    body = [f"| {' | '.join(cells)} |" for cells in zip(*(column.cells for column in shown), strict=True)]
    return "\n".join([f"## {place}", "", f"    {command(settings)}", "", head, rule, *body, ""])


def measure(part: str, quick: bool, out: Path | None) -> None:
    """Run one part, print its page as it grows, and keep it."""
    before, pages, numbers = measurement.load(), [], []
    with tempfile.TemporaryDirectory() as folder:
        for i, settings in enumerate(PARTS[part]()):
            if quick:
                settings |= {"evaluations": 64 * settings.get("samples", 32), "restarts": 1, "runs": 2, "reports": 2}
            place, table, scores = run(settings, folder, f"{part}-{i}")
            pages.append(section(place, settings, table))
            numbers.append(scores)
            print(pages[-1], flush=True)
    if out is None:
        return
    machine = measurement.this_machine(before)
    made = f"`python -m benchmarks.permutations_tasks --only {part}`, {machine.date}, {machine.versions}."
    head = [f"# Permutations: {part}", "", "Mean ± standard error over n runs (rankings: over n test queries).", ""]
    head += [made, ""]
    out.mkdir(parents=True, exist_ok=True)
    (out / f"permutations_{part}.md").write_text("\n".join(head + pages), encoding="utf-8")
    pq.write_table(pa.concat_tables(numbers), out / f"permutations_{part}.parquet")


def main(argv: list[str]) -> int:
    """Measure the parts, print and keep their pages. Returns the exit code."""
    parser = measurement.parser("permutations_tasks", __doc__, "few evaluations")
    parser.add_argument("--only", choices=PARTS, help="one part instead of all")
    options = parser.parse_args(argv)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for part in [options.only] if options.only else PARTS:
            measure(part, options.quick, None if options.quick else options.out)
    finally:
        torch.set_num_threads(threads)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
