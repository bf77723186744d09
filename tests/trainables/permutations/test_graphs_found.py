"""Decomposable BIC, equivalence classes and distances, beside enumeration."""

import itertools

import numpy as np
import pytest

from trainables.permutations.tasks.causal import equivalence
from trainables.permutations.tasks.causal.graphs import find_cycle, topological
from trainables.permutations.tasks.causal.growing import GaussianBic, GrowShrink, MultinomialBic
from trainables.permutations.tasks.causal.synthetic import draw
from trainables.permutations.tasks.causal.tables import discrete_bic, gaussian_bic


def rows_of(d, seed, m=500):
    sample = draw("er", d, d, m, "normal", np.random.default_rng(seed))
    return (sample.rows - sample.rows.mean(0)) / sample.rows.std(0), sample.truth


def test_growing_and_shrinking_is_never_below_the_exact_table_and_mostly_equal():
    equal = 0
    for seed in range(5):
        rows, _ = rows_of(8, seed)
        covariance = rows.T @ rows / len(rows)
        table, grown = gaussian_bic(covariance, len(rows)), GrowShrink(GaussianBic(covariance, len(rows)))
        for trial in range(20):
            order = np.random.default_rng(trial).permutation(8)
            exact, before = 0.0, 0
            for node in order.tolist():
                exact += table.best[node, before]
                before |= 1 << node
            cost = grown.cost(order.tolist())
            assert cost >= exact - 1e-6
            equal += abs(cost - exact) < 1e-6
    assert equal >= 90


def test_the_multinomial_score_is_that_of_the_table():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 3, (300, 3))
    codes[:, 2] = (codes[:, 0] + codes[:, 1] + (rng.random(300) < 0.1)) % 3
    score, table = MultinomialBic(codes), discrete_bic(codes, 3)
    for node in range(3):
        others = [k for k in range(3) if k != node]
        lowest = min(score.alone(node, some) for size in range(3) for some in itertools.combinations(others, size))
        assert lowest == pytest.approx(table.best[node, 7], rel=1e-9)
        costs = score.with_one_more(node, ())
        assert costs[others] == pytest.approx([score.alone(node, (k,)) for k in others])
        assert np.isinf(costs[node])


def all_graphs(d):
    pairs = list(itertools.combinations(range(d), 2))
    for marks in itertools.product(range(3), repeat=len(pairs)):
        graph = np.zeros((d, d), dtype=bool)
        for (i, j), mark in zip(pairs, marks, strict=True):
            if mark:
                graph[(i, j) if mark == 1 else (j, i)] = True
        if find_cycle(graph) is None:
            yield graph


def signature(graph):
    """Skeleton and v-structures, which determine the class (Verma, Pearl 1990)."""
    joined = graph | graph.T
    colliders = frozenset(
        (min(a, b), c, max(a, b))
        for c in range(len(graph))
        for a, b in itertools.combinations(np.flatnonzero(graph[:, c]).tolist(), 2)
        if not joined[a, b]
    )
    return joined.tobytes(), colliders


def test_classes_are_the_unions_of_their_graphs_for_all_graphs_of_four_nodes():
    classes = {}
    for graph in all_graphs(4):
        classes.setdefault(signature(graph), []).append(graph)
    assert len(classes) == 185  # the number of Markov equivalence classes of four nodes
    for members in classes.values():
        union = np.any(members, 0)
        for graph in members:
            assert np.array_equal(equivalence.cpdag(graph), union)
            assert equivalence.class_distance(graph, members[0]) == 0


def effect(weights, i, j, given):
    """The coefficient of i in the regression of j on i and a set, from the exact covariance."""
    d = len(weights)
    inverse = np.linalg.inv(np.eye(d) - weights.T)
    covariance = inverse @ inverse.T
    at = [i, *given]
    return np.linalg.solve(covariance[np.ix_(at, at)], covariance[at, j])[0]


def test_the_interventional_distance_counts_the_effects_that_adjustment_gets_wrong():
    rng = np.random.default_rng(1)
    graphs = list(all_graphs(4))
    for _ in range(120):
        found, truth = (graphs[k] for k in rng.integers(len(graphs), size=2))
        weights = truth * rng.uniform(0.5, 2, (4, 4))
        total = np.linalg.inv(np.eye(4) - weights)
        wrong = 0
        for i, j in itertools.permutations(range(4), 2):
            given = np.flatnonzero(found[:, i]).tolist()
            estimate = 0.0 if j in given else effect(weights, i, j, given)
            wrong += abs(estimate - total[i, j]) > 1e-9
        assert equivalence.sid(found, truth) == wrong
    assert equivalence.sid(truth, truth) == 0


def test_the_true_order_of_standardised_data_gives_the_class_of_the_graph():
    rows, truth = rows_of(20, 4, 2000)
    found = GrowShrink(GaussianBic(rows.T @ rows / len(rows), len(rows))).graph(topological(truth))
    assert equivalence.skeleton_distance(found, truth) <= 1
    assert equivalence.class_distance(found, truth) <= 2
