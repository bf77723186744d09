import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raybayes.reporting.ranking import best_trials, float_column, parameter_values, rank_parameters, rows_best_first
from raybayes.reporting.summary import Summary
from raybayes.search.objective import Objective

UP = Objective("up", "maximize")
DOWN = Objective("down", "minimize")


def trials_of(*rows):
    """Trials from (state, up, down)."""
    return pa.table(
        {
            "trial": pa.array(range(len(rows)), pa.int64()),
            "state": pa.array([row[0] for row in rows], pa.string()),
            "up": pa.array([row[1] for row in rows], pa.float64()),
            "down": pa.array([row[2] for row in rows], pa.float64()),
        }
    )


def test_the_best_is_the_best_finished_trial():
    trials = trials_of(
        ("COMPLETE", 1, 5),
        ("PRUNED", 9, 0),
        ("COMPLETE", 3, 4),
        ("RUNNING", 9, 0),
        ("FAIL", 9, 0),
        ("COMPLETE", math.nan, math.nan),
        ("COMPLETE", math.inf, -math.inf),
        ("COMPLETE", None, None),
    )
    assert best_trials(trials, [UP]) == [2]
    assert best_trials(trials, [Objective("down", "minimize", "s")]) == [2]


def test_of_equal_trials_the_earliest_is_the_best():
    trials = trials_of(("COMPLETE", 1, 1), ("COMPLETE", 2, 1), ("COMPLETE", 2, 1))
    assert best_trials(trials, [UP]) == [1]
    assert best_trials(trials.take(pa.array([2, 1, 0])), [UP]) == [1]


def test_nothing_finished_has_no_best():
    assert best_trials(trials_of(), [UP]) == []
    assert best_trials(trials_of(("RUNNING", 1, 1)), [UP, DOWN]) == []
    assert best_trials(trials_of(("COMPLETE", 1, 1)), [Objective("not reported", "maximize")]) == []


def test_infeasible_trials_are_never_best():
    trials = trials_of(("COMPLETE", 1, 1), ("COMPLETE", 2, 1), ("COMPLETE", 3, 1))
    trials = trials.append_column("feasible", pa.array([True, None, False]))
    assert best_trials(trials, [UP]) == [1]
    assert rows_best_first(trials, [UP]) == [1, 0, 2]


few = st.integers(-2, 2).map(float)


@given(st.lists(st.tuples(st.sampled_from(["COMPLETE", "PRUNED"]), few, few), max_size=14))
def test_the_front_is_what_nothing_dominates(rows):
    front = best_trials(trials_of(*rows), [UP, DOWN])
    done = {i: (-up, down) for i, (state, up, down) in enumerate(rows) if state == "COMPLETE"}

    def dominates(a, b):
        return all(x <= y for x, y in zip(a, b, strict=True)) and a != b

    assert set(front) == {i for i, point in done.items() if not any(dominates(other, point) for other in done.values())}
    assert front == sorted(front, key=lambda i: (done[i][0], i))


def test_the_order_of_a_table():
    trials = trials_of(
        ("FAIL", None, 0),
        ("PRUNED", 7, 0),
        ("COMPLETE", 1, 0),
        ("RUNNING", None, 0),
        ("COMPLETE", 4, 0),
        ("PRUNED", 8, 0),
        ("RUNNING", 2, 0),
        ("PAUSED", 9, 0),
    )
    assert rows_best_first(trials, [UP]) == [4, 2, 6, 3, 7, 5, 1, 0]


@given(st.lists(st.tuples(st.sampled_from(["COMPLETE", "PRUNED", "FAIL"]), few, few), max_size=10))
def test_an_order_has_every_trial_once_and_starts_with_the_best(rows):
    trials = trials_of(*rows)
    order = rows_best_first(trials, [UP, DOWN])
    assert sorted(order) == list(range(len(rows)))
    front = best_trials(trials, [UP, DOWN])
    assert order[: len(front)] == front


def test_parameters_that_matter_come_first(accuracy):
    rng = np.random.default_rng(0)
    n = 200
    lr, depth, method = rng.uniform(0, 1, n), rng.integers(1, 5, n), rng.integers(0, 3, n)
    trials = pa.table(
        {
            "trial": range(n),
            "state": ["COMPLETE"] * n,
            "accuracy": 10 * (lr - 0.5) ** 2 + 0.5 * method + rng.normal(0, 0.05, n),
            "config.depth": depth,
            "config.lr": lr,
            "config.fixed": [3] * n,
            "config.method": [["a", "b", "c"][i] for i in method],
            "config.on": [bool(i) for i in rng.integers(0, 2, n)],
        }
    )
    assert rank_parameters(trials, accuracy)[:2] == ["lr", "method"]
    assert sorted(rank_parameters(trials, accuracy)) == ["depth", "lr", "method", "on"]
    assert rank_parameters(trials, accuracy, {"on": 0.9, "lr": 0.1})[:2] == ["on", "lr"]


def test_a_rarely_active_parameter_does_not_shine_by_chance(accuracy):
    trials = pa.table(
        {
            "trial": range(8),
            "state": ["COMPLETE"] * 8,
            "accuracy": [1.0, 2, 3, 4, 5, 6, 7, 8],
            "config.rank": [None] * 6 + [3, 9],
            "config.lr": [1.0, 2, 3, 4, 5, 6, 7, 8],
        }
    )
    assert rank_parameters(trials, accuracy) == ["lr", "rank"]


def test_telling_needs_no_result(empty, sweep, accuracy):
    assert rank_parameters(empty[0], accuracy) == []
    trials, _ = sweep(3, running=3)
    names = rank_parameters(trials, accuracy)
    assert "lr" in names
    assert {f"config.{name}" for name in names} <= set(trials.column_names)


def test_columns_as_numbers(empty):
    table = pa.table({"b": [True, None], "n": pa.array([None, None], pa.null()), "i": [1, None]})
    for name, wanted in (("b", [1.0, np.nan]), ("n", [np.nan] * 2), ("i", [1.0, np.nan]), ("missing", [np.nan] * 2)):
        np.testing.assert_array_equal(float_column(table, name), wanted)
    assert parameter_values(pa.table({"config.a": ["x", None]}), "a") == ["x", None]


def test_a_summary_never_changes():
    summary = Summary("n", "p", "ensembles", [UP], "epoch", "tpe", "none", 0)
    with pytest.raises(AttributeError):
        summary.seed = 1
