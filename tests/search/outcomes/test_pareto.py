"""Dominance, counted and peeled into fronts, against brute force over pairs."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from raybayes.search.outcomes.pareto import count_dominating, dominates, nondominated_fronts

points = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=14)


def peeled(vectors):
    """Fronts by taking away what nothing left dominates, pair by pair."""
    left, found, number = set(range(len(vectors))), {}, 0
    while left:
        free = {
            i for i in left
            if not any(all(a <= b for a, b in zip(vectors[j], vectors[i], strict=True)) and vectors[j] != vectors[i]
                       for j in left)
        }  # fmt: skip
        found |= dict.fromkeys(free, number)
        left -= free
        number += 1
    return [found[i] for i in range(len(vectors))]


@given(points)
def test_fronts_are_those_of_brute_force(vectors):
    assert nondominated_fronts(np.array(vectors, float)).tolist() == peeled(vectors)


@given(points)
def test_a_point_counts_all_that_dominate_it(vectors):
    beaten = [
        sum(all(a <= b for a, b in zip(one, other, strict=True)) and one != other for one in vectors)
        for other in vectors
    ]
    assert count_dominating(np.array(vectors, float)).tolist() == beaten


def test_equal_points_do_not_dominate_each_other():
    assert not dominates(np.array([1.0, 2.0]), np.array([1.0, 2.0]))
    assert count_dominating(np.empty((0, 2))).tolist() == []
