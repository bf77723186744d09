"""How reports and ends are judged: each fact that a plain bridge from a tuner to Optuna gets wrong."""

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raybayes.contract import Action
from raybayes.errors import SpecError
from raybayes.search.objective import Objective
from raybayes.search.outcomes.outcome import (
    Outcome,
    State,
    decide_outcome,
    describe_non_finite,
    mean_and_error,
    measure_violations,
)

LOSS = Objective("loss", "minimize")
SIZE = Objective("size", "maximize")


@pytest.mark.parametrize(
    ("action", "metrics", "error", "outcome"),
    [
        (Action.CONTINUE, {"loss": 0.5, "size": 3}, None, Outcome(State.COMPLETE, (0.5, 3.0))),
        (Action.PRUNE, {"loss": 0.5}, None, Outcome(State.PRUNED)),
        (Action.PAUSE, {"loss": 0.5}, None, Outcome(State.PAUSED)),
        (Action.FAIL, {"loss": math.nan}, None, Outcome(State.FAIL, error="loss was reported as nan")),
        (Action.FAIL, {}, None, Outcome(State.FAIL, error="the objective was not finite")),
        (Action.CONTINUE, {"loss": 0.5}, None, Outcome(State.FAIL, error="the run ended without reporting size")),
        (Action.CONTINUE, {}, None, Outcome(State.FAIL, error="the run ended without reporting loss, size")),
        (Action.CONTINUE, {"loss": -math.inf, "size": 1}, None, Outcome(State.FAIL, error="loss was reported as -inf")),
        (Action.CONTINUE, {"loss": 0.5, "size": 3}, "out of memory", Outcome(State.FAIL, error="out of memory")),
        (Action.PRUNE, {"loss": 0.5}, "ValueError: no", Outcome(State.FAIL, error="ValueError: no")),
        (Action.PAUSE, {"loss": 0.5}, "lost", Outcome(State.FAIL, error="lost")),
    ],
)
def test_the_end_of_a_trial(action, metrics, error, outcome):
    assert decide_outcome(action, metrics, (LOSS, SIZE), error) == outcome


def test_which_states_are_final():
    assert [state.name for state in State if state.final] == ["COMPLETE", "PRUNED", "FAIL"]


@given(st.dictionaries(st.sampled_from(["loss", "size", "other"]), st.floats()))
def test_an_objective_that_is_not_finite_is_named(metrics):
    bad = [name for name in ("loss", "size") if name in metrics and not math.isfinite(metrics[name])]
    found = describe_non_finite(metrics, (LOSS, SIZE))
    assert found == (f"{bad[0]} was reported as {metrics[bad[0]]}" if bad else None)


@pytest.mark.parametrize(
    ("bound", "metrics", "distance"),
    [
        ("<= 60", {"seconds": 50.0}, -10.0),
        ("<= 60", {"seconds": 60.0}, 0.0),
        ("<= 60", {"seconds": 75.0}, 15.0),
        (">= 0.5", {"seconds": 0.75}, -0.25),
        (">= 0.5", {"seconds": 0.25}, 0.25),
        ("<= 60", {}, math.inf),
        ("<= 60", {"seconds": math.nan}, math.inf),
        (">= 60", {"seconds": math.inf}, math.inf),
    ],
)
def test_how_far_a_constraint_is_missed(bound, metrics, distance):
    found = measure_violations({"seconds": bound}, metrics)
    assert list(found.values()) == [distance]
    assert list(found) == [f"seconds {bound}"]


def test_an_unreadable_bound_is_named():
    with pytest.raises(SpecError, match=r"seconds: found '< 60'; write '<= number' or '>= number'"):
        measure_violations({"seconds": "< 60"}, {"seconds": 1.0})


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=9))
def test_the_standard_error_is_that_of_the_mean(samples):
    mean, error = mean_and_error(samples)
    assert mean == pytest.approx(statistics.mean(samples), rel=1e-9, abs=1e-6)
    assert error == pytest.approx(statistics.stdev(samples) / len(samples) ** 0.5, rel=1e-6, abs=1e-6)


def test_a_single_run_has_no_standard_error():
    assert mean_and_error([3.0]) == (3.0, None)
