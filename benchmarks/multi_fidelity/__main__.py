"""python -m benchmarks.multi_fidelity [--quick] [--out FOLDER]"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
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

WORKERS, TRIALS, NOISE = (1, 4, 8), 128, 0.002
NOTES = """
128 recorded networks (two hidden layers, MNIST, 27 epochs; `record.py` says how) are trained again in virtual time,
one epoch a second, by the code of real sweeps. A suggestion is answered by the nearest recorded network; its whole
curve is shifted by a draw from N(0, 0.002), another one for each trial, so that two trials of the same network are not
equal. "epochs": of training until a network within one percentage point of the lowest of the 128 validation errors
(4,000 digits, after 27 epochs, without the shift) was trained to its end; where a search never does so, all of its
epochs count. "best stopped": the share of sweeps in which the best network that was sampled was stopped for good.
"bridge" is what Ray Tune with OptunaSearch tells Optuna (a stopped trial is complete, with the value at which it was
stopped), here with the same ASHA and the same TPE. Mean ± standard error over n seeds.
"""
SIDES = (
    ("TPE, full length", "tpe", "none"),
    ("TPE, ASHA", "tpe", "asha"),
    ("TPE, median", "tpe", "median"),
    ("random, full length", "random", "none"),
    ("random, ASHA", "random", "asha"),
)


def within(curves: Recorded) -> float:
    """The highest final error that counts as found."""
    return min(curve[-1]["val_error"] for curve in curves.curves.values()) + 0.01


def cost_of_success(reports: Sequence[Mapping[str, Any]], limit: float, steps: int) -> tuple[int, bool]:
    """Epochs of all trials until one has an error within the limit at the last step, and whether one had.

    Args:
        reports: in the order of their times.
    """
    for count, report in enumerate(reports, start=1):
        if report["step"] == steps and report["true_error"] <= limit:
            return count, True
    return len(reports), False


@dataclass(frozen=True)
class Searched:
    """One search: its reports by time, the lowest true final error of what was trained to its end, and the epochs that
    each trial, with its true final error, was trained for."""

    reports: Sequence[Mapping[str, Any]]
    best: float
    trained: Sequence[tuple[float, int]] = ()


def noisy(curves: Recorded) -> Callable[[Mapping[str, Any], int], list[dict[str, float]]]:
    """The recorded curves with a shift of their own for each trial; `true_error` is without it."""

    def curve(config: Mapping[str, Any], seed: int) -> list[dict[str, float]]:
        shift = float(np.random.default_rng(seed).normal(0.0, NOISE))
        found = [report["val_error"] for report in curves(config)]
        return [{"val_error": error + shift, "true_error": error} for error in found]

    curve.__name__ = "mnist-mlp"
    return curve


def search(curves: Recorded, sampler: str, scheduler: str, workers: int, seed: int, trials: int) -> Searched:
    objective: dict[str, Direction] = {"val_error": "minimize"}
    found = rb.simulate(
        noisy(curves), SPACE, trials=trials, workers=workers, sampler=sampler, scheduler=scheduler, objective=objective,
        seed=seed,
    )  # fmt: skip
    reports = [event for event in found.events.to_pylist() if event["kind"] == "report"]
    rows = found.sweep.trials.to_pylist()
    ends = [curves({name: row[f"config.{name}"] for name in SPACE})[-1]["val_error"] for row in rows]
    best = min(end for end, row in zip(ends, rows, strict=True) if row["state"] == "COMPLETE")
    return Searched(reports, best, [(end, row["steps"]) for end, row in zip(ends, rows, strict=True)])


def compare(curves: Recorded, workers: int, seed: int, trials: int) -> Iterator[Found]:
    claim = f"Epochs until a network within one point of the best is trained, slots: {workers}"
    limit, steps = within(curves), len(next(iter(curves.curves.values())))
    found = {side: search(curves, sampler, scheduler, workers, seed, trials) for side, sampler, scheduler in SIDES}
    found["bridge, ASHA"] = Searched(*raw_bridge(noisy(curves), SPACE, trials, workers, seed))
    for side, one in found.items():
        cost, success = cost_of_success(one.reports, limit, steps)
        values = {"epochs": cost, "found": float(success), "all epochs": len(one.reports),
                  "final error, best (%)": 100 * one.best}  # fmt: skip
        if one.trained:
            lowest = min(end for end, _ in one.trained)
            values["best stopped"] = float(all(epochs < steps for end, epochs in one.trained if end == lowest))
        yield from (Found(claim, side, column, value) for column, value in values.items())


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
    found: list[Found] = []
    for workers in WORKERS:
        for seed in range(seeds):
            found += compare(curves, workers, seed, trials)
        print(f"{workers} slots done", file=sys.stderr, flush=True)
    title = "Multi-fidelity search on recorded curves"
    print(write(options.out, "multi_fidelity", title, NOTES, found, measurement.this_machine(before)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
