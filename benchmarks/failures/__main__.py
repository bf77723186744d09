"""python -m benchmarks.failures [--quick] [--seeds N] [--out FOLDER]"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import optuna

import raybayes as rb
from benchmarks import measurement
from benchmarks.failures.tasks import TASKS, Task
from benchmarks.quality import Found, write
from raybayes.seeds import derive

EVERY = 20
NOTES = """
Five functions on the unit cube (`tasks.py`). Where a claim says "a region fails", every evaluation in about 30 % of the
cube fails ("memory": out of memory; "crash": another exception); what is best lies near its border. Where it says "bad
luck", each evaluation fails with that probability, whatever its configuration. "not shown" is raybayes with failures
hidden from its sampler, as before; "Optuna" is `study.ask` and `study.tell(state=FAIL)` with the sampler's defaults.
Regret is that of the best value: 0 is the lowest of 20,000 random draws that do not fail (below 0: better than all of
them), 1 is their median; a mean over the tasks. "change" is the regret minus that of "not shown" with the same seed and
task. One trial at a time. Mean ± standard error over n sweeps.
"""
Evaluate = Callable[[Mapping[str, Any], int], float]


def evaluation(task: Task, kind: str) -> Evaluate:
    """The function that a sweep evaluates; `kind` is "memory", "crash", or the probability of bad luck."""

    def evaluate(config: Mapping[str, Any], seed: int) -> float:
        point = task.point(config)
        if kind in ("memory", "crash"):
            if task.fails(*point):
                raise MemoryError if kind == "memory" else RuntimeError("the kernel cannot be launched")
        elif np.random.default_rng(seed).random() < float(kind):
            raise OSError("stale file handle")
        return task.loss(*point)

    return evaluate


def raybayes_search(task: Task, kind: str, sampler: str, seed: int, trials: int, shown: bool) -> list[float | None]:
    """The value of each trial; None: it failed."""
    hidden = mock.patch("raybayes.search.study.transfer_study.lessons_of_failures", return_value=[])
    options: dict[str, Any] = {"trials": trials, "seed": seed, "sampler": sampler, "max_failed_fraction": 1.0}
    if shown:
        found = rb.simulate(evaluation(task, kind), task.space, **options)
    else:
        with hidden:
            found = rb.simulate(evaluation(task, kind), task.space, **options)
    return [row["loss"] if row["state"] == "COMPLETE" else None for row in found.sweep.trials.to_pylist()]


def optuna_search(task: Task, kind: str, sampler: str, seed: int, trials: int) -> list[float | None]:
    """The plain loop of a user of Optuna."""
    makers = {"tpe": optuna.samplers.TPESampler, "gp": optuna.samplers.GPSampler}
    study, evaluate = optuna.create_study(sampler=makers[sampler](seed=seed)), evaluation(task, kind)
    values: list[float | None] = []
    for number in range(trials):
        trial = study.ask()
        config = {name: trial.suggest_float(name, 0.0, 1.0) for name in task.space}
        try:
            values.append(evaluate(config, derive(seed, "luck", number)))
            study.tell(trial, values[-1])
        except (MemoryError, RuntimeError, OSError):
            values.append(None)
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
    return values


def compare(sampler: str, kind: str, seeds: int, trials: int, tasks: Sequence[Task]) -> Iterator[Found]:
    what = f"a region fails ({kind})" if kind in ("memory", "crash") else f"bad luck, {float(kind):.0%}"
    claim = f"{sampler}: {what}"
    for task in tasks:
        for seed in range(seeds):
            sides = {
                "raybayes": raybayes_search(task, kind, sampler, seed, trials, shown=True),
                "not shown": raybayes_search(task, kind, sampler, seed, trials, shown=False),
                "Optuna": optuna_search(task, kind, sampler, seed, trials),
            }
            regrets = {
                side: task.regret(min(v for v in values if v is not None), unlucky=kind not in ("memory", "crash"))
                for side, values in sides.items()
            }
            for side, values in sides.items():
                for start in range(0, trials, EVERY):
                    failed = sum(value is None for value in values[start : start + EVERY])
                    yield Found(claim, side, f"FAIL in {start + 1} to {start + EVERY}", failed)
                yield Found(claim, side, "regret", regrets[side])
                if side != "not shown":
                    yield Found(claim, side, "change", regrets[side] - regrets["not shown"])
    print(claim, "done", file=sys.stderr, flush=True)


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.failures", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two seeds of one task, to see that it runs")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--only", choices=("tpe", "gp"), help="one sampler, kept in a file of its own")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args(argv)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    seeds, trials, tasks = (2, 40, TASKS[:1]) if options.quick else (options.seeds, options.trials, TASKS)
    before = measurement.load()
    found = [
        one
        for sampler in ("tpe", "gp")
        for kind in (("memory", "crash", "0.1", "0.3") if sampler == "tpe" else ("memory", "crash", "0.3"))
        if options.only in (None, sampler)
        for one in compare(sampler, kind, seeds, trials, tasks if sampler == "tpe" else tasks[:2])
    ]
    name = "failures" + (f"_{options.only}" if options.only else "")
    print(write(options.out, name, "Failures that teach", NOTES, found, measurement.this_machine(before)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
