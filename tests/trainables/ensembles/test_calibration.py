"""Calibration errors against torchmetrics and slow obvious versions."""

import math

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from torchmetrics.functional.classification import multiclass_calibration_error

from trainables.ensembles.metrics.calibration import ace, bootstrap_interval, ece, sce, tace
from trainables.ensembles.metrics.scores import error


def case(n=500, classes=5):
    rng = np.random.default_rng(1)
    y = rng.integers(0, classes, n)
    return log_softmax(2 * rng.normal(size=(n, classes)) + 2 * np.eye(classes)[y], axis=1), y


def test_ece_equals_torchmetrics():
    lp, y = case()
    p = torch.tensor(np.exp(lp))
    wanted = multiclass_calibration_error(p, torch.tensor(y), num_classes=5, n_bins=15, norm="l1")
    assert ece(lp, y) == pytest.approx(float(wanted), abs=1e-7)  # theirs is float32


def test_ece_bins_are_open_on_the_left():
    lp = np.log([[0.75, 0.25], [0.5, 0.5]])  # 0.5 belongs to (0.25, 0.5], 0.75 to (0.5, 0.75]
    assert ece(lp, np.array([0, 1]), bins=4) == pytest.approx((0.25 + 0.5) / 2)
    certain = np.array([[0.0, -np.inf]])
    assert ece(certain, np.array([0])) == 0


def test_a_constant_prediction_of_the_class_frequencies_has_no_ece():
    y = np.repeat([0, 1, 2], [50, 30, 20])
    assert ece(np.log(np.tile([0.5, 0.3, 0.2], (100, 1))), y) == pytest.approx(0, abs=1e-12)


def slow_adaptive(lp, y, bins, threshold):
    gaps = []
    for c in range(lp.shape[1]):
        rows = sorted((math.exp(lp[i, c]), i) for i in range(len(y)) if math.exp(lp[i, c]) > threshold)
        if len(rows) < bins:
            continue
        size = len(rows) // bins
        for b in range(bins):
            part = rows[b * size : (b + 1) * size if b < bins - 1 else len(rows)]
            gaps.append(abs(sum(p for p, _ in part) / len(part) - sum(y[i] == c for _, i in part) / len(part)))
    return sum(gaps) / len(gaps)


def test_classwise_errors_equal_their_definitions():
    lp, y = case(n=217)
    p = np.exp(lp)
    wanted = 0.0
    for c in range(5):
        for b in range(15):
            rows = [i for i in range(217) if b / 15 < p[i, c] <= (b + 1) / 15]
            if rows:
                wanted += abs(sum(p[i, c] for i in rows) - sum(y[i] == c for i in rows)) / 217 / 5
    assert sce(lp, y) == pytest.approx(wanted)
    assert ace(lp, y) == pytest.approx(slow_adaptive(lp, y, 15, -1))
    assert tace(lp, y, threshold=0.02) == pytest.approx(slow_adaptive(lp, y, 15, 0.02))


def test_thresholded_error_without_objects_is_undefined():
    lp, y = case(n=10)
    assert math.isnan(tace(lp, y))


def test_bootstrap_interval_covers_the_value_and_narrows():
    lp, y = case()
    low, high = bootstrap_interval(error, lp, y)
    assert low < error(lp, y) < high
    wide = bootstrap_interval(error, lp[:50], y[:50])
    assert wide[1] - wide[0] > high - low
    assert bootstrap_interval(error, lp, y) == (low, high)
