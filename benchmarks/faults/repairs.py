"""python -m benchmarks.faults.repairs [--cuts N] [--trials N]: journals that are cut at random places, and repaired."""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

import raybayes as rb
from benchmarks import measurement
from benchmarks.faults.sweeps import ROOT
from raybayes import catalog
from raybayes.store.filesystem import open_storage
from raybayes.store.layout import Layout
from raybayes.sweeps.repair import Mender, find_damage


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults.repairs", description=__doc__)
    parser.add_argument("--cuts", type=int, default=50)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args(argv)
    load = measurement.load()
    with tempfile.TemporaryDirectory(prefix="raybayes-repairs-") as folder:
        catalog.add_root(str(ROOT / "tests" / "projects"))
        config = {"steps": 3, "fail_at": 2, "only_above": 0.3}
        path = rb.sweep(
            "parabola", trials=options.trials, config=config, scheduler="median", storage=folder, name="s", seed=4,
            executor="local", max_failed_fraction=1.0,
        ).path  # fmt: skip
        rows = [cut_and_repair(Path(path), seed) for seed in range(options.cuts)]
    found = pa.Table.from_pylist(rows)
    options.out.mkdir(parents=True, exist_ok=True)
    pq.write_table(found, options.out / "repairs.parquet")
    page = summary(rows, options.trials, str(measurement.this_machine(load)))
    (options.out / "repairs.md").write_text(page, encoding="utf-8")
    print(page)
    return 0


def cut_and_repair(path: Path, seed: int) -> dict[str, Any]:
    """Cut the journal at a place, repair, compare with the tables of before; then the journal is whole again."""
    journal = path / "study.journal"
    whole, before = journal.read_bytes(), rb.open_sweep(path).trials.to_pylist()
    place = random.Random(seed).randrange(len(whole))
    journal.write_bytes(whole[:place])
    layout = Layout(open_storage(str(path)))
    began = time.monotonic()
    done = Mender(layout).repair()
    seconds = time.monotonic() - began
    after = rb.open_sweep(path).trials.to_pylist()
    equal = sum(one == other for one, other in zip(before, after, strict=False))
    left = len(find_damage(layout))
    journal.write_bytes(whole)
    return {
        "seed": seed, "place": place / len(whole), "trials": len(before), "recovered": len(after), "equal": equal,
        "lost": len(done.lost), "damage_left": left, "seconds": seconds,
    }  # fmt: skip


def summary(rows: Sequence[dict[str, Any]], trials: int, machine: str) -> str:
    recovered, equal = min(row["recovered"] for row in rows), min(row["equal"] for row in rows)
    return "\n".join([
        "# Repairs", "",
        f"The journal of a sweep of {trials} trials (complete, pruned and failed ones) is cut at {len(rows)} seeded",
        "places, and `raybayes check --repair` rebuilds it. Equal: trials whose row of the table is in all columns",
        "that of before.", "",
        f"Measured on {machine}.", "",
        "| cuts | trials that the tables knew | recovered, least | equal, least | left damaged | seconds, median |",
        "| ---: | ---: | ---: | ---: | ---: | ---: |",
        f"| {len(rows)} | {trials} | {recovered} | {equal} | {sum(row['damage_left'] for row in rows)} | "
        f"{statistics.median(row['seconds'] for row in rows):.2f} |", "",
    ])  # fmt: skip


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
