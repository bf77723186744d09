"""Parameter importances for the first objective, with bootstrap intervals."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from raybayes.search.optuna_internals import FinishedTrials, as_distinct_trials

MIN_FINISHED = 4  # finished trials; fewer give no importances
RESAMPLES = 32
INTERVAL = (0.05, 0.95)


def importance_shares(trials: Sequence[FrozenTrial], direction: StudyDirection) -> dict[str, float]:
    """Share of each parameter in reaching the best tenth of the trials, largest share first.

    PED-ANOVA (Watanabe, Bansal, Hutter, IJCAI 2023, arXiv 2304.10255) as Optuna computes it, scaled to a sum of 1.
    Empty below 4 finished trials, and where all have the same value.
    """
    done = _finished(trials)
    if len(done) < MIN_FINISHED or len({trial.values[0] for trial in done}) < 2:
        return {}
    return _evaluate(done, direction)


def importance_intervals(
    trials: Sequence[FrozenTrial], direction: StudyDirection, seed: int, resamples: int = RESAMPLES
) -> dict[str, tuple[float, float]]:
    """The 5 % and 95 % quantiles of each parameter's share over bootstrap resamples of the finished trials.

    Efron, "Bootstrap methods", Annals of Statistics 7, 1979. A wide interval means that the sweep has too few trials.
    Empty where `importance_shares` is.

    Args:
        seed: the same one gives the same intervals.
    """
    done = _finished(trials)
    names = importance_shares(done, direction)
    generator = np.random.default_rng(seed)
    drawn = [
        _evaluate(as_distinct_trials([done[i] for i in generator.integers(0, len(done), len(done))]), direction)
        for _ in range(resamples if names else 0)
    ]
    found = {name: np.quantile([one.get(name, 0.0) for one in drawn], INTERVAL) for name in names}
    return {name: (float(low), float(high)) for name, (low, high) in found.items()}


def _finished(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    return [t for t in trials if t.state is TrialState.COMPLETE and t.values and np.isfinite(t.values).all()]


def _evaluate(done: Sequence[FrozenTrial], direction: StudyDirection) -> dict[str, float]:
    study: Any = FinishedTrials(done, direction)
    evaluator = optuna.importance.PedAnovaImportanceEvaluator()
    with warnings.catch_warnings():  # few trials make Optuna warn per resample; the intervals show it better
        warnings.simplefilter("ignore")
        found: Mapping[str, float] = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return dict(found)
