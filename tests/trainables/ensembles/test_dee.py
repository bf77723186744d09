"""Deep ensemble equivalent: against the published tables and the definition by brute force."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raybayes.errors import DataError
from trainables.ensembles.metrics.dee import deep_ensemble_equivalent as dee

# ImageNet, ResNet50 without test-time augmentation: calibrated log-likelihood at sizes 1, 5, 10, 50 of deep ensembles.
IMAGENET = {1: -0.935, 5: -0.823, 10: -0.805, 50: -0.788}
# CIFAR-100, WRN-28-10: sizes 1, 5, 10, 50, 100.
WRN = {1: -0.797, 5: -0.623, 10: -0.595, 50: -0.574, 100: -0.571}


def test_a_sparse_curve_gives_the_known_bias():
    # Snapshot ensembles of 5 on ImageNet: 2.2 against the whole curve, 3.5 against these four points.
    with pytest.raises(DataError, match=r"lacks 46 sizes below 50 \(2, 3, 4, 6, 7, ...\).*biased upwards"):
        dee(-0.865, IMAGENET)
    assert dee(-0.865, IMAGENET, gaps_allowed=True).value == pytest.approx(3.5)


def test_published_values_that_need_no_dense_curve():
    assert dee(-0.988, IMAGENET, gaps_allowed=True).value == 1.0  # K-FAC Laplace: "1.0 at all"
    assert dee(-0.938, IMAGENET, gaps_allowed=True).value == 1.0  # single network
    assert dee(-0.805, IMAGENET, gaps_allowed=True).value == pytest.approx(10)  # one network, 50 augmentations
    assert dee(-0.582, WRN, gaps_allowed=True).value < 100  # snapshot ensembles of 100: 19.85 on the whole curve


def test_a_deep_ensemble_is_worth_itself():
    curve = {k: -1 / k for k in range(1, 21)}
    for k in curve:
        assert dee(curve[k], curve).value == pytest.approx(k)


def test_beyond_the_curve_it_saturates_and_never_extrapolates():
    curve = {1: -1.0, 2: -0.5}
    assert dee(-0.4, curve).value == 2
    assert dee(-0.4, curve).saturated
    assert not dee(-0.5, curve).saturated


def test_smaller_is_better_gives_the_same_bounds_in_the_same_order():
    curve, std = {1: 0.3, 2: 0.2, 3: 0.15}, {1: 0.02, 2: 0.02, 3: 0.02}
    found = dee(0.19, curve, std, higher_is_better=False)
    mirrored = dee(-0.19, {k: -v for k, v in curve.items()}, std)
    assert found == mirrored
    assert found.lower < found.value < found.upper


def test_it_is_a_pure_function_of_the_score():
    curve = {1: -1.0, 2: -0.8, 3: -0.7, 4: -0.65}
    alone = dee(-0.75, curve)
    dee(-0.66, curve)  # a cursor that never moves back would now answer 3
    assert dee(-0.75, curve) == alone
    assert alone.value == pytest.approx(2.5)


@given(st.lists(st.floats(-2, 0), min_size=1, max_size=12), st.floats(-2.5, 0.5), st.floats(0, 0.3))
def test_definition_by_brute_force(values, score, spread):
    curve = {k + 1: v for k, v in enumerate(values)}
    found = dee(score, curve, dict.fromkeys(curve, spread))
    sizes = np.linspace(1, len(values), 20 * (len(values) - 1) + 1)
    interpolated = np.interp(sizes, list(curve), values)
    assert found.lower <= found.value <= found.upper
    if found.saturated:
        assert max(values) < score
        assert found.value == len(values)
    else:
        first = sizes[np.flatnonzero(interpolated >= score)]
        if len(first):
            assert first[0] - 0.05 - 1e-9 <= found.value <= first[0] + 1e-9
        assert np.interp(found.value, list(curve), values) >= score - 1e-9


def test_wrong_curves_are_named():
    with pytest.raises(DataError, match="must begin at size 1, found sizes none"):
        dee(0, {})
    with pytest.raises(DataError, match=r"must begin at size 1, found sizes \[2\]"):
        dee(0, {2: 0.1})
    with pytest.raises(DataError, match="the standard deviation lacks sizes 2"):
        dee(0, {1: 0, 2: 1}, {1: 0.1})
