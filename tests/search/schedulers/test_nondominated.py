"""Several objectives at a rung: fronts by brute force, crowding by its definition, and what goes on."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raybayes.search.outcomes.pareto import nondominated_fronts
from raybayes.search.schedulers.nondominated import NondominatedCurves, rank_by_dominance
from raybayes.search.schedulers.rungs import Asha, Hyperband

points = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=14)


@given(points)
def test_a_better_front_always_comes_first(vectors):
    front, place = (
        nondominated_fronts(np.array(vectors, float)).tolist(),
        rank_by_dominance([tuple(map(float, v)) for v in vectors]),
    )
    assert sorted(place) == list(range(len(vectors)))
    by_place = [front[place.index(position)] for position in range(len(vectors))]
    assert by_place == sorted(by_place)


def test_within_a_front_the_ends_come_first_then_the_lonely():
    line = [(0.0, 10.0), (1.0, 9.0), (2.0, 8.0), (7.0, 3.0), (10.0, 0.0)]
    place = rank_by_dominance(line)
    assert {place[0], place[4]} == {0, 1}
    assert place[3] == 2, "its neighbours are 8 apart in each objective, those of the others 2 and 6"
    assert place[2] == 3


@pytest.mark.parametrize("scheduler", [Asha(grace_period=1, eta=3), Hyperband(grace_period=1, eta=3, brackets=1)])
def test_a_dominated_trial_is_stopped_at_the_rung_and_nowhere_else(scheduler):
    curves = NondominatedCurves()
    for trial, losses in enumerate([(1.0, 1.0), (2.0, 2.0), (3.0, 3.0), (0.5, 4.0)]):
        for step in (1, 2):
            curves.add_vector(trial, step, losses)
    assert scheduler.should_continue(curves, 0, 1) or scheduler.should_continue(curves, 3, 1)
    assert not scheduler.should_continue(curves, 2, 1)
    assert scheduler.should_continue(curves, 2, 2), "step 2 is no rung"
