"""Which candidates are raced, who loses, and what is said of the winner."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_ind

from raybayes.search.objective import Objective
from raybayes.search.outcomes.best_summary import best_summary
from raybayes.search.outcomes.confirm import (
    Confirmation,
    Race,
    Stage,
    choose_candidates,
    eligible_records,
    pool_confirmations,
)
from raybayes.search.outcomes.outcome import State
from raybayes.search.outcomes.records import TrialRecord

LOSS, SCORE = Objective("loss", "minimize"), Objective("score", "maximize")
numbers = st.floats(-10, 10, allow_nan=False).map(lambda x: round(x, 3))


def record(number, values, params=None, feasible=True, missed=None, **notes):
    state, params = State.COMPLETE if values else State.FAIL, params or {"x": number}
    return TrialRecord(number, state, params, values, {}, notes, feasible=feasible, missed=missed or {})


@given(st.lists(numbers, min_size=2, max_size=8), st.lists(numbers, min_size=2, max_size=8))
def test_the_test_is_welchs(one, other):
    lost = Race().find_losers({0: [(x,) for x in one], 1: [(x,) for x in other]})
    if len(set(one)) == 1 and len(set(other)) == 1:
        worse = {0} if one[0] > other[0] else {1} if one[0] < other[0] else set()
        assert lost == worse
        return
    p = [ttest_ind(a, b, equal_var=False, alternative="greater").pvalue for a, b in ((one, other), (other, one))]
    expected = {loser for loser in (0, 1) if p[loser] < 0.05 and abs(p[loser] - 0.05) > 1e-9}
    assert lost == expected


def test_one_run_says_nothing():
    assert Race().find_losers({0: [(0.0,)], 1: [(100.0,)]}) == set()
    assert Race().find_losers({0: [(0.0,), (0.1,)], 1: [(100.0,)]}) == set()
    assert Race().find_losers({0: [(0.0,), (0.1,)], 1: [(100.0,), (101.0,)]}) == {1}


def test_of_several_objectives_only_what_is_worse_in_all_loses():
    runs = {0: [(0.0, 0.0), (0.1, 0.1)], 1: [(9.0, 9.0), (9.1, 9.1)], 2: [(9.0, -9.0), (9.1, -9.1)]}
    assert Race().find_losers(runs) == {1}


@given(st.integers(0, 10**6))
def test_the_candidate_with_the_best_mean_never_loses(seed):
    rng = random.Random(seed)
    runs = {t: [(rng.gauss(rng.random(), 0.3),) for _ in range(rng.randint(2, 6))] for t in range(6)}
    best = min(runs, key=lambda t: math.fsum(x for (x,) in runs[t]) / len(runs[t]))
    assert best not in Race().find_losers(runs)


def test_candidates_are_the_best_different_feasible_ones():
    records = [
        record(0, (3.0,)), record(1, (1.0,)), record(2, (1.5,), {"x": 1}), record(3, None), record(5, (2.0,)),
        record(4, (0.0,), feasible=False),
    ]  # fmt: skip
    assert [r.number for r in choose_candidates(records, [LOSS], 2)] == [1, 5]
    assert [r.number for r in choose_candidates(records, [SCORE], 9)] == [0, 5, 2]


def test_means_are_over_fresh_seeds_of_all_stages_alone():
    records = [record(0, (1.0,)), record(1, (0.5,)), record(2, (2.0,))]
    first = Stage([record(0, (1.4,), done={"0": {"loss": 1.0}, "1": {"loss": 1.8}}),
                   record(1, (3.0,), done={"0": {"loss": 3.0}})], [0, 1], 2)  # fmt: skip
    second = Stage([record(0, (2.0,), done={"0": {"loss": 2.0}, "1": {"loss": 2.0}})], [0], 2)
    found = pool_confirmations([first, second], records, [LOSS])
    assert found[0].n == 4
    assert found[0].values == pytest.approx((1.7,))
    assert found[0].errors == pytest.approx((math.sqrt((0.49 + 0.01 + 0.09 + 0.09) / 3 / 4),))
    assert found[0].searched == (1.0,)
    assert found[0].complete
    assert not found[1].complete, "it was stopped after one of two seeds"
    assert found[1].errors == (None,)
    assert [(r.number, r.values) for r in eligible_records(records, found)] == [(0, (1.7,))], (
        "trial 1's luck does not win"
    )
    assert eligible_records(records, {}) == records


def test_a_failed_candidate_does_not_stand():
    found = pool_confirmations(
        [Stage([record(0, None, done={"0": {"loss": 1.0}})], [7], 1)], [record(7, (1.0,))], [LOSS]
    )
    assert not found[7].complete


@pytest.mark.parametrize(
    ("records", "confirmed", "constraints", "words"),
    [
        ([], {}, {}, ["No trial is complete yet"]),
        ([record(0, None)], {}, {}, ["No trial is complete yet"]),
        ([record(3, (0.25,))], {}, {}, ["trial 3: loss 0.25 (n = 1", "raybayes confirm"]),
        ([record(3, (0.25,), n=4, se={"loss": 0.01})], {}, {}, ["trial 3: loss 0.250 ± 0.010 (n = 4"]),
        (
            [record(0, (1.0,), feasible=False, missed={"size <= 1": 3.0}),
             record(1, (2.0,), feasible=False, missed={"size <= 1": 0.5})],
            {}, {"size": "<= 1"},
            ["None of the 2 complete trials satisfies size <= 1", "trial 1 is closest and misses size <= 1 by 0.5"],
        ),
        (
            [record(0, (0.1,)), record(1, (0.2,))],
            {0: Confirmation(0, 2, (0.5,), (0.1,), True, False, (0.1,)),
             1: Confirmation(1, 5, (0.3,), (0.012,), True, True, (0.2,))},
            {},
            ["Best of 2 confirmed, 1 of them stopped early: trial 1: loss 0.300 ± 0.012 (n = 5", "reported 0.2)"],
        ),
        (
            [record(0, (0.1,))], {0: Confirmation(0, 5, (0.5,), (0.1,), False, True, (0.1,))}, {"size": "<= 1"},
            ["None of the confirmed trials satisfies", "--top"],
        ),
    ],
)  # fmt: skip
def test_what_is_said_of_the_best(records, confirmed, constraints, words):
    said = best_summary(records, confirmed, [LOSS], constraints)
    assert [word for word in words if word not in said] == [], said
    assert "\n" not in said
