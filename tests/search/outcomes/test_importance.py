"""Importances against what the objective was made of, and intervals that close as trials come in."""

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.study import StudyDirection

from raybayes.search.outcomes.importance import importance_intervals, importance_shares

SPACE = {"x": FloatDistribution(0, 1), "y": FloatDistribution(0, 1), "kind": CategoricalDistribution(["a", "b"])}
DOWN, UP = StudyDirection.MINIMIZE, StudyDirection.MAXIMIZE


def trials(n, seed=0, sign=1.0):
    """Trials whose value depends on x strongly, on y weakly, on kind not at all."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(n):
        params = {"x": float(rng.uniform()), "y": float(rng.uniform()), "kind": str(rng.choice(["a", "b"]))}
        value = sign * (10 * (params["x"] - 0.3) ** 2 + 0.5 * params["y"] + 0.05 * rng.normal())
        made.append(optuna.trial.create_trial(params=params, distributions=SPACE, value=value))
        made[-1]._trial_id = number
    return made


@pytest.mark.parametrize(("direction", "sign"), [(DOWN, 1.0), (UP, -1.0)])
def test_what_matters_most_comes_first(direction, sign):
    found = importance_shares(trials(150, sign=sign), direction)
    assert next(iter(found)) == "x"
    assert sum(found.values()) == pytest.approx(1)
    assert found["x"] > 0.5 > found["kind"]


def test_they_are_those_of_optuna():
    study = optuna.create_study()
    study.add_trials(trials(40))
    assert importance_shares(trials(40), DOWN) == pytest.approx(optuna.importance.get_param_importances(study))


def test_intervals_hold_the_share_and_close_with_more_trials():
    width = {}
    for n in (20, 400):
        found, share = importance_intervals(trials(n), DOWN, seed=1), importance_shares(trials(n), DOWN)
        assert set(found) == set(share)
        assert all(0 <= low <= high <= 1 for low, high in found.values())
        low, high = found["x"]
        assert low <= share["x"] <= high or n == 20  # of few trials, resamples are less spread than the sample
        width[n] = high - low
    assert width[400] < width[20]


def test_the_same_seed_gives_the_same_intervals():
    few = trials(30)
    assert importance_intervals(few, DOWN, seed=5) == importance_intervals(few, DOWN, seed=5)
    assert importance_intervals(few, DOWN, seed=5) != importance_intervals(few, DOWN, seed=6)


def test_nothing_is_said_of_too_few_or_equal_trials():
    assert importance_shares(trials(3), DOWN) == {}
    assert importance_intervals(trials(3), DOWN, seed=0) == {}
    equal = trials(8)
    for trial in equal:
        trial.value = 1.0
    assert importance_shares(equal, DOWN) == {}
