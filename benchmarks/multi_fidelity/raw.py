"""What a plain bridge between Ray Tune and Optuna does, in virtual time: the same ASHA, other news for the sampler.

The controller does not pass on the report at which it stops a trial, and tells the stopped trial as COMPLETE with its
last value. A trial whose metric is no number compares as neither better nor worse, so it is never stopped; telling
its end raises, and the study keeps it RUNNING. (Measured on Ray 2.60 with Optuna 5.0.)
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import optuna

from raybayes.search.schedulers.rungs import Asha, Curves
from raybayes.seeds import derive
from raybayes.space import Float, Int, Space

Function = Callable[[Mapping[str, Any], int], list[dict[str, float]]]


def raw_bridge(
    function: Function, space: Space, trials: int, workers: int, seed: int
) -> tuple[list[dict[str, Any]], float]:
    """The reports in the order of their times, and the lowest error of what was trained to its end."""
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    rungs, told, reports, best = Asha(), Curves(), [], math.inf
    queue: list[tuple[float, int, int, optuna.Trial, Iterator[dict[str, float]]]] = []

    def begin(now: float) -> None:
        trial = study.ask()
        curve = iter(function(_configuration(trial, space), derive(seed, "curve", trial.number)))
        heapq.heappush(queue, (now + 1.0, trial.number, 1, trial, curve))

    for _ in range(workers):
        begin(0.0)
    while queue:
        now, number, step, trial, curve = heapq.heappop(queue)
        report = next(curve)
        error = report["val_error"]
        reports.append({"time": now, "trial": number, "step": step, **report})
        last = step == 27
        if not last and not math.isnan(error):
            told.add(number, step, error)
        if last or (not math.isnan(error) and not rungs.should_continue(told, number, step)):
            if not math.isnan(error):
                study.tell(trial, error)
            best = min(best, report["true_error"]) if last else best
            if len(study.trials) < trials:
                begin(now)
        else:
            heapq.heappush(queue, (now + 1.0, number, step + 1, trial, curve))
    return reports, best


def _configuration(trial: optuna.Trial, space: Space) -> dict[str, Any]:
    config: dict[str, Any] = {}
    for name in space:
        parameter = space[name]
        if isinstance(parameter, Float):
            config[name] = trial.suggest_float(name, parameter.low, parameter.high, log=parameter.log)
        elif isinstance(parameter, Int):
            config[name] = trial.suggest_int(name, parameter.low, parameter.high, log=parameter.log)
        else:
            raise TypeError(f"{name} is a Choice; the recorded curves have numbers only")
    return config
