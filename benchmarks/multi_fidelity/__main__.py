"""python -m benchmarks.multi_fidelity [--quick] [--out FOLDER]"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
import pyarrow as pa
import pyarrow.parquet as pq

import raybayes as rb
from benchmarks import measurement
from benchmarks.multi_fidelity.raw import raw_bridge
from benchmarks.multi_fidelity.record import FILE
from benchmarks.multi_fidelity.space import SPACE
from benchmarks.quality import Found, write
from raybayes.contract import Direction
from raybayes.sweeps.recorded import Recorded

WORKERS, TRIALS = 8, 128
CLAIM = "Epochs of training until a network within 1 % of the best recorded error was trained to its end"
NOTES = """
128 recorded networks (two hidden layers, MNIST, 27 epochs; `record.py` says how) are trained again in virtual time,
eight at once, one epoch a second, by the code of real sweeps. A suggestion is answered by the nearest recorded network.
"Within 1 %": its validation error (4,000 digits) after 27 epochs is at most one percentage point above the lowest of
the 128; where a search never trains such a network to its end, all of its epochs count. "bridge" is what Ray Tune
with OptunaSearch tells Optuna (a stopped trial is complete, with the value at which it was stopped), here with the
same ASHA and the same TPE. Mean ± standard error over n seeds.
"""


def within(curves: Recorded) -> float:
    """The highest final error that counts as found."""
    return min(curve[-1]["val_error"] for curve in curves.curves.values()) + 0.01


def cost_of_success(reports: Sequence[Mapping[str, Any]], limit: float, steps: int) -> tuple[int, bool]:
    """Epochs of all trials until one has an error within the limit at the last step, and whether one had.

    Args:
        reports: in the order of their times.
    """
    for count, report in enumerate(reports, start=1):
        if report["step"] == steps and report["val_error"] <= limit:
            return count, True
    return len(reports), False


def sides(curves: Recorded, seed: int, trials: int) -> Iterator[tuple[str, list[dict[str, Any]], float]]:
    """(side, reports by time, lowest final error of what was trained to its end)."""
    objective: dict[str, Direction] = {"val_error": "minimize"}
    for side, sampler, scheduler in (
        ("raybayes, ASHA", "tpe", "asha"),
        ("raybayes, full length", "tpe", "none"),
        ("random, ASHA", "random", "asha"),
        ("random, full length", "random", "none"),
    ):
        found = rb.simulate(
            curves, SPACE, trials=trials, workers=WORKERS, sampler=sampler, scheduler=scheduler, objective=objective,
            seed=seed,
        )  # fmt: skip
        reports = [event for event in found.events.to_pylist() if event["kind"] == "report"]
        ends = [row["val_error"] for row in found.sweep.trials.to_pylist() if row["state"] == "COMPLETE"]
        yield side, reports, min(ends)
    reports, best = raw_bridge(curves, SPACE, trials, WORKERS, seed)
    yield "bridge, ASHA", reports, best


def curves_of(table: pa.Table) -> Recorded:
    """The recorded curves as a function of a configuration: the validation error, an epoch a second."""
    # Not "error", which in a table of trials is the reason of a failure.
    names = ["val_error" if name == "error" else name for name in table.column_names]
    recorded = Recorded(table.rename_columns(names).drop_columns(["seconds", "loss"]), SPACE)
    recorded.__name__ = "mnist-mlp"
    return recorded


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.multi_fidelity", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two seeds, to see that it runs")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args(argv)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    seeds, trials = (2, 40) if options.quick else (options.seeds, TRIALS)
    before = measurement.load()
    curves = curves_of(pq.read_table(FILE))
    limit, found = within(curves), []
    steps = len(next(iter(curves.curves.values())))
    for seed in range(seeds):
        for side, reports, best in sides(curves, seed, trials):
            cost, success = cost_of_success(reports, limit, steps)
            values = {"epochs": cost, "found": float(success), "all epochs": len(reports),
                      "final error, best (%)": 100 * best}  # fmt: skip
            found += [Found(CLAIM, side, column, value) for column, value in values.items()]
        print(f"seed {seed} done", file=sys.stderr, flush=True)
    title = "Multi-fidelity search on recorded curves"
    print(write(options.out, "multi_fidelity", title, NOTES, found, measurement.this_machine(before)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
