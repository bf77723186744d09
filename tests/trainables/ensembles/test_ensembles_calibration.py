"""Calibration errors against torchmetrics and slow obvious versions."""

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from torchmetrics.functional.classification import multiclass_calibration_error

from trainables.ensembles.metrics.calibration import ece


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
