"""Detection, selective prediction and diversity against scikit-learn and slow obvious versions."""

import itertools
import math

import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from raybayes.errors import DataError
from trainables.ensembles.metrics.detection import average_precision, foreign, fpr_at_tpr, misclassification, roc_auc
from trainables.ensembles.metrics.diversity import RunningDiversity
from trainables.ensembles.metrics.scores import brier, error
from trainables.ensembles.metrics.selective import augrc, aurc, excess_aurc
from trainables.ensembles.metrics.uncertainty import (
    entropy,
    mutual_information,
    negative_confidence,
    negative_energy,
    negative_max_logit,
)


@pytest.fixture
def rng():
    return np.random.default_rng(2)


@pytest.mark.parametrize("digits", [1, 8])
def test_areas_equal_scikit_learn_with_and_without_ties(rng, digits):
    positive = rng.random(200) < 0.3
    score = np.round(rng.normal(size=200) + positive, digits)
    assert roc_auc(score, positive) == pytest.approx(roc_auc_score(positive, score))
    assert average_precision(score, positive) == pytest.approx(average_precision_score(positive, score))
    fpr, tpr, _ = roc_curve(positive, score, drop_intermediate=False)
    assert fpr_at_tpr(score, positive) == pytest.approx(fpr[tpr >= 0.95].min())


def test_undefined_detections_say_why():
    lp = np.log([[0.8, 0.2], [0.3, 0.7]])
    right = misclassification(lp, np.array([0, 1]), negative_confidence(lp))
    assert math.isnan(right.roc_auc)
    assert right.undefined == "all 2 predictions are right"
    assert misclassification(lp, np.array([1, 0]), entropy(lp)).undefined == "all 2 predictions are wrong"
    mixed = misclassification(lp, np.array([0, 0]), negative_confidence(lp))
    assert (mixed.roc_auc, mixed.average_precision, mixed.undefined) == (1.0, 1.0, "")
    with pytest.raises(DataError, match="must be two lists of one length"):
        roc_auc(np.zeros(3), np.zeros(2))


def test_foreign_objects(rng):
    known, strange = rng.normal(size=80), rng.normal(size=50) + 1
    found = foreign(known, strange)
    out = np.r_[np.zeros(80), np.ones(50)]
    score = np.r_[known, strange]
    assert found.roc_auc == pytest.approx(roc_auc_score(out, score))
    assert found.average_precision_out == pytest.approx(average_precision_score(out, score))
    assert found.average_precision_in == pytest.approx(average_precision_score(1 - out, -score))
    with pytest.raises(DataError, match="found 0 known and 1 foreign"):
        foreign([], [1.0])


def test_uncertainties(rng):
    logits = rng.normal(size=(4, 6, 3))
    lp = log_softmax(logits, axis=-1)
    p = np.exp(lp)
    assert np.allclose(entropy(lp[0]), -(p[0] * lp[0]).sum(axis=1))
    assert entropy(np.array([[0.0, -np.inf]]))[0] == 0  # the reference code gives nan
    average = p.mean(axis=0)
    wanted = -(average * np.log(average)).sum(axis=1) + (p * lp).sum(axis=2).mean(axis=0)
    assert np.allclose(mutual_information(lp), wanted)
    assert np.allclose(negative_energy(logits[0]), -np.log(np.exp(logits[0]).sum(axis=1)))
    assert np.allclose(negative_max_logit(logits[0]), -logits[0].max(axis=1))


def test_aurc_by_hand_and_by_all_orders_of_ties():
    lp = np.log([[0.9, 0.1], [0.8, 0.2], [0.8, 0.2], [0.6, 0.4]])
    y = np.array([0, 1, 0, 1])
    orders = []
    for tie in itertools.permutations([1, 2]):
        wrong = np.array([0, *[int(y[i] != 0) for i in tie], 1])
        orders.append((np.cumsum(wrong) / [1, 2, 3, 4]).mean())
    assert aurc(lp, y) == pytest.approx(np.mean(orders))
    oracle = (0 + 0 + 1 / 3 + 2 / 4) / 4
    assert excess_aurc(lp, y) == pytest.approx(np.mean(orders) - oracle)
    assert augrc(lp, y) == pytest.approx((0 + 0.5 + 1 + 2) / 4 / 4)


def test_aurc_does_not_depend_on_the_order_of_rows(rng):
    lp = np.log(np.full((9, 4), 0.25))
    y = rng.integers(0, 4, 9)
    order = rng.permutation(9)
    assert aurc(lp, y) == pytest.approx(aurc(lp[order], y[order]), abs=1e-15) == pytest.approx(error(lp, y))


@pytest.mark.parametrize("n", [7, 1000, 5000])
def test_a_perfect_classifier_has_no_aurc_at_any_size(n):
    lp = np.log(np.tile([0.9, 0.1], (n, 1)))  # the reference code: 0.001 for 5,000 objects, a crash below 1,000
    assert aurc(lp, np.zeros(n, int)) == 0
    assert aurc(lp, np.ones(n, int)) == 1
    assert excess_aurc(lp, np.ones(n, int)) == pytest.approx(0)


def test_diversity_equals_its_definitions(rng):
    members = log_softmax(2 * rng.normal(size=(5, 40, 3)), axis=-1)
    y = rng.integers(0, 3, 40)
    running = RunningDiversity()
    for k in range(5):
        running.add(members[k], y)
        p = np.exp(members[: k + 1])
        found = running.measures(np.log(p.mean(axis=0)), y)
        chosen = p.argmax(axis=2)
        pairs = [(chosen[a] != chosen[b]).mean() for a in range(k + 1) for b in range(a)]
        assert found["disagreement"] == pytest.approx(np.mean(pairs) if pairs else 0)
        assert found["mutual_information"] == pytest.approx(mutual_information(members[: k + 1]).mean())
        assert found["member_error"] == pytest.approx(np.mean([error(m, y) for m in members[: k + 1]]))
        assert found["member_brier"] == pytest.approx(np.mean([brier(m, y) for m in members[: k + 1]]))
        spread = np.square(p - p.mean(axis=0)).sum(axis=2).mean()
        assert found["ambiguity"] == pytest.approx(spread)
