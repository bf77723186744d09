"""Proper scores, temperature, cross-validation, averaging: against slow obvious versions and independent programs."""

import math

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, logsumexp

from raybayes.errors import DataError
from trainables.ensembles.metrics.average import RunningAverage
from trainables.ensembles.metrics.protocol import cross_validated, halves
from trainables.ensembles.metrics.scores import brier, error, log_likelihood, log_sum_exp
from trainables.ensembles.metrics.temperature import fit_temperature, scale


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def case(rng, n=300, classes=7, sharpness=2.0):
    """Log-probabilities that carry some, over-confident, knowledge of the targets."""
    y = rng.integers(0, classes, n)
    logits = sharpness * (rng.normal(size=(n, classes)) + 1.5 * np.eye(classes)[y])
    return log_softmax(logits, axis=1), y


def test_scores_equal_their_definitions_object_by_object(rng):
    lp, y = case(rng)
    p = np.exp(lp)
    assert log_likelihood(lp, y) == pytest.approx(sum(lp[i, y[i]] for i in range(300)) / 300)
    wanted = sum(sum((p[i, c] - (y[i] == c)) ** 2 for c in range(7)) for i in range(300)) / 300
    assert brier(lp, y) == pytest.approx(wanted)
    for top in (1, 2, 5):
        misses = sum(y[i] not in sorted(range(7), key=lambda c: (-lp[i, c], c))[:top] for i in range(300))
        assert error(lp, y, top) == pytest.approx(misses / 300)


def test_hand_values():
    lp = np.log([[0.5, 0.5], [0.9, 0.1], [0.2, 0.8]])
    y = np.array([1, 0, 0])
    assert error(lp, y) == pytest.approx(2 / 3)  # a tie goes to the lower class, which is wrong here
    assert brier(lp, y) == pytest.approx((0.5 + 0.02 + 1.28) / 3)
    assert log_likelihood(lp, y) == pytest.approx((math.log(0.5) + math.log(0.9) + math.log(0.2)) / 3)


def test_the_floor_of_the_reference_code():
    lp = np.array([[-np.inf, 0.0]])
    assert log_likelihood(lp, np.array([0])) == -np.inf
    assert log_likelihood(lp, np.array([0]), floor=1e-12) == pytest.approx(-27.631, abs=1e-3)


def test_log_sum_exp_without_overflow():
    values = np.array([[1000.0, 1000.0], [-1000.0, -1001.0], [-np.inf, 0.0]])
    assert np.allclose(log_sum_exp(values), logsumexp(values, axis=1))
    assert log_sum_exp(np.full((1, 3), -np.inf))[0] == -np.inf


@pytest.mark.parametrize("sharpness", [0.1, 1.0, 4.0, 20.0])
def test_newton_finds_the_minimum_that_a_derivative_free_search_finds(rng, sharpness):
    lp, y = case(rng, sharpness=sharpness)

    def nll(b):
        return -log_softmax(b * lp, axis=1)[np.arange(300), y].mean()

    found = fit_temperature(lp, y)
    slow = minimize_scalar(nll, bounds=(1e-2, 1e2), method="bounded", options={"xatol": 1e-10})
    assert nll(1 / found.value) <= slow.fun + 1e-12
    assert 1 / found.value == pytest.approx(slow.x, rel=1e-5)
    assert not found.at_bound


def test_the_fit_does_not_depend_on_where_it_starts(rng):
    lp, y = case(rng)
    values = [fit_temperature(lp, y, start).value for start in (0.02, 0.5, 1.0, 30.0)]
    assert values == pytest.approx([values[0]] * 4, rel=1e-12)


def test_hopeless_and_perfect_predictions_end_at_a_bound():
    y = np.zeros(20, np.int64)
    wrong = np.log(np.tile([0.1, 0.9], (20, 1)))
    right = np.log(np.tile([0.9, 0.1], (20, 1)))
    assert fit_temperature(wrong, y).at_bound
    assert fit_temperature(wrong, y).value == pytest.approx(100)
    assert fit_temperature(right, y).value <= 0.1
    assert fit_temperature(np.log(np.full((20, 4), 0.25)), y) == fit_temperature(np.log(np.full((20, 4), 0.25)), y, 1)
    assert fit_temperature(np.log(np.full((20, 4), 0.25)), y).value == 1.0  # flat: any T is best


def test_scaling_keeps_rows_normalised(rng):
    lp, _ = case(rng)
    assert np.allclose(np.exp(scale(lp, 3.0)).sum(axis=1), 1)
    assert np.allclose(scale(lp, 3.0), log_softmax(lp / 3.0, axis=1))


def test_cross_validation_equals_the_protocol_written_out(rng):
    lp, y = case(rng, n=101)
    result = cross_validated(lp, y, seed=3)
    raw, calibrated, temperatures = [], [], []
    for repeat in range(5):
        order = np.random.default_rng([3, repeat, 101]).permutation(101)
        for fit, evaluate in ((order[:50], order[50:]), (order[50:], order[:50])):
            slow = minimize_scalar(
                lambda b, fit=fit: -log_softmax(b * lp[fit], axis=1)[np.arange(len(fit)), y[fit]].mean(),
                bounds=(1e-2, 1e2),
                method="bounded",
                options={"xatol": 1e-11},
            )
            temperatures.append(1 / slow.x)
            raw.append(log_likelihood(lp[evaluate], y[evaluate]))
            calibrated.append(log_likelihood(log_softmax(slow.x * lp[evaluate], axis=1), y[evaluate]))
    assert result.raw["ll"] == pytest.approx(np.mean(raw))
    assert result.calibrated["ll"] == pytest.approx(np.mean(calibrated), abs=1e-8)
    assert result.temperature == pytest.approx(np.mean(temperatures), rel=1e-5)
    assert result.temperature_std == pytest.approx(np.std(temperatures), rel=1e-3)
    assert result.calibrated["error"] == pytest.approx(result.raw["error"])  # scaling never changes the ranking


def test_halves_are_seeded_disjoint_and_cover_everything():
    first, again, other = (list(halves(11, 2, seed)) for seed in (0, 0, 1))
    assert len(first) == 4
    for (fit, evaluate), (fit_again, _) in zip(first, again, strict=True):
        assert sorted([*fit, *evaluate]) == list(range(11))
        assert (fit == fit_again).all()
    assert any((a[0] != b[0]).any() for a, b in zip(first[::2], other[::2], strict=True))


def test_log_likelihood_of_an_even_set_is_the_mean_over_all_objects(rng):
    lp, y = case(rng)
    assert cross_validated(lp, y).raw["ll"] == pytest.approx(log_likelihood(lp, y))


def test_running_average_is_the_mean_of_probabilities(rng):
    members = np.stack([case(rng)[0] for _ in range(5)])
    average = RunningAverage()
    for k in range(5):
        average.add(members[k].astype(np.float32))
        wanted = np.log(np.exp(members[: k + 1].astype(np.float32).astype(np.float64)).mean(axis=0))
        assert np.allclose(average.log_probabilities(), wanted, atol=1e-12)
    logits_averaged = log_softmax(members.mean(axis=0), axis=1)
    assert not np.allclose(average.log_probabilities(), logits_averaged, atol=1e-3)


def test_wrong_inputs_are_named():
    lp, y = np.log(np.full((4, 2), 0.5)), np.array([0, 1, 0, 1])
    with pytest.raises(DataError, match=r"log-probabilities \(4, 2\) and targets \(3,\) do not match"):
        log_likelihood(lp, y[:3])
    with pytest.raises(DataError, match="targets must be integers 0 to 1, found 0 to 2"):
        log_likelihood(lp, y + (y == 1))
    with pytest.raises(DataError, match="take log-softmax first"):
        error(np.exp(lp) + 1, y)
    with pytest.raises(DataError, match="take log-softmax first"):
        brier(lp * np.nan, y)
    with pytest.raises(DataError, match="at least 4 objects, found 3"):
        cross_validated(lp[:3], y[:3])
    with pytest.raises(DataError, match="found -inf; floor them"):
        fit_temperature(np.array([[-np.inf, 0.0]] * 4), y)
