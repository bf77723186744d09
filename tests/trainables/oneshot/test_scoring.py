"""Average precision against a case computed by hand, torchmetrics (which calls pycocotools)."""

import math

import numpy as np
import pytest
import torch
from torchmetrics.detection import MeanAveragePrecision

from trainables.oneshot.evaluation.scoring import (
    THRESHOLDS,
    Found,
    Judged,
    Truth,
    average_precision,
    calibrate,
    judge,
    mean_of,
    merged_ap,
    score_classes,
)


def found(*rows):
    table = np.array(rows, float).reshape(-1, 5)
    return Found(table[:, :4], table[:, 4])


def truth(*rows, difficult=()):
    boxes = np.array(rows, float).reshape(-1, 4)
    return Truth(boxes, np.array([i in difficult for i in range(len(boxes))], bool))


def test_a_case_by_hand():
    """Two objects and a difficult one; ranked: right, wrong, a second hit (wrong), difficult (left out), right."""
    objects = {
        "a": truth([0, 0, 10, 10], [100, 0, 110, 10], difficult=[1]),
        "b": truth([0, 0, 10, 10]),
    }
    detections = {
        "a": found([0, 0, 10, 10, 0.9], [1, 0, 11, 10, 0.7], [50, 50, 60, 60, 0.8], [100, 0, 110, 10, 0.6]),
        "b": found([0, 0, 10, 12, 0.5]),
    }
    judged = judge(detections, objects)
    assert judged.scores.tolist() == [0.9, 0.8, 0.7, 0.5]
    assert judged.right.tolist() == [True, False, False, True]
    assert judged.n_positive == 2
    assert judged.ap == pytest.approx(0.5 * 1 + 0.5 * 0.5)
    assert judged.recall == 1


def test_classes_without_objects_do_not_count_and_those_without_detections_count_zero():
    objects = {"x": {"a": truth([0, 0, 10, 10])}, "y": {"a": truth([0, 0, 10, 10])}, "z": {}}
    detections = {"x": {"a": found([0, 0, 10, 10, 1.0])}, "z": {"a": found([0, 0, 5, 5, 0.3])}}
    scored = score_classes(detections, objects)
    assert math.isnan(scored["z"].ap50)
    assert scored["y"].ap50 == 0
    assert mean_of(scored, "ap50") == 0.5
    assert merged_ap(detections, objects) == pytest.approx(0.5)


def test_the_pixel_offset_is_that_of_whole_pixel_boxes():
    objects, near = {"a": truth([0, 0, 9, 9])}, {"a": found([0, 0, 9, 4, 1.0])}
    assert judge(near, objects).ap == 0  # 36 / 81
    assert judge(near, objects, pixel_offset=1.0).ap == 1  # 50 / 100


def scenario(seed, classes=3, scenes=12):
    """Objects, and detections near some of them, with distinct scores."""
    rng = np.random.default_rng(seed)
    objects = {str(c): {} for c in range(classes)}
    detections = {str(c): {} for c in range(classes)}
    for c in range(classes):
        for s in range(scenes):
            corner = rng.uniform(0, 400, (rng.integers(0, 4), 2))
            boxes = np.concatenate([corner, corner + rng.uniform(20, 120, corner.shape)], 1)
            if len(boxes):
                objects[str(c)][str(s)] = Truth(boxes, np.zeros(len(boxes), bool))
            near = boxes[rng.random(len(boxes)) < 0.8]
            near = near + rng.normal(0, 8, near.shape)
            corner = rng.uniform(0, 400, (rng.integers(0, 4), 2))
            more = np.concatenate([corner, corner + rng.uniform(20, 120, corner.shape)], 1)
            every = np.concatenate([near, more])
            detections[str(c)][str(s)] = Found(every, rng.random(len(every)))
    return objects, detections


def as_torchmetrics(objects, detections):
    """The same scenario in the form of torchmetrics, one dictionary a scene."""
    metric = MeanAveragePrecision(class_metrics=True)
    for scene in sorted({s for c in detections.values() for s in c}):
        predicted, wanted = {"boxes": [], "scores": [], "labels": []}, {"boxes": [], "labels": []}
        for c in objects:
            d, o = detections[c].get(scene), objects[c].get(scene)
            if d is not None:
                predicted["boxes"] += d.boxes.tolist()
                predicted["scores"] += d.scores.tolist()
                predicted["labels"] += [int(c)] * len(d.scores)
            if o is not None:
                wanted["boxes"] += o.boxes.tolist()
                wanted["labels"] += [int(c)] * len(o.boxes)
        shaped = [
            {k: torch.tensor(v).view(-1, 4).float() if k == "boxes" else torch.tensor(v) for k, v in side.items()}
            for side in (predicted, wanted)
        ]
        metric.update([shaped[0]], [shaped[1]])
    return metric.compute()


def at_101_recalls(judged):
    """COCO's average precision of a ranking: the envelope's precision at the recalls 0, .01, ..., 1."""
    hits = np.cumsum(judged.right)
    precision = np.maximum.accumulate((hits / np.arange(1, len(hits) + 1))[::-1])[::-1]
    recalls = torch.linspace(0, 1, 101).tolist()  # theirs, rounded as in their float32
    at = np.searchsorted(hits / judged.n_positive, recalls)
    return float(np.append(precision, 0.0)[np.minimum(at, len(hits))].mean())


@pytest.mark.parametrize("seed", range(3))
def test_ap_agrees_with_torchmetrics(seed):
    """The ranking of right and wrong is theirs, class by class, to the last detection; AP itself they take at 101
    recalls and VOC at all of them, which with some 20 objects a class differs a little."""
    objects, detections = scenario(seed)
    theirs = as_torchmetrics(objects, detections)
    averages = [
        [at_101_recalls(judge(detections[c], objects[c], threshold)) for threshold in THRESHOLDS] for c in objects
    ]
    assert np.mean(averages, 0)[0] == pytest.approx(float(theirs["map_50"]), abs=1e-6)
    assert np.mean(averages, 1) == pytest.approx(theirs["map_per_class"].numpy(), abs=1e-6)
    scored = score_classes(detections, objects)
    assert mean_of(scored, "ap50") == pytest.approx(float(theirs["map_50"]), abs=0.015)
    assert mean_of(scored, "ap50_95") == pytest.approx(float(theirs["map"]), abs=0.015)
    assert mean_of(scored, "ap50") > 0.3


def test_average_precision_is_the_area_under_the_envelope():
    rng = np.random.default_rng(0)
    for _ in range(20):
        right = rng.random(30) < 0.4
        positives = int(right.sum()) + 3
        hits = np.cumsum(right)
        recall, precision = hits / positives, hits / np.arange(1, 31)
        area, before = 0.0, 0.0
        for i in range(30):
            if right[i]:
                area += (recall[i] - before) * precision[i:].max()
                before = recall[i]
        assert average_precision(right, positives) == pytest.approx(area)


def test_a_threshold_keeps_the_precision_it_is_for():
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
    judged = Judged(scores, np.array([1, 1, 0, 1, 0, 0], bool), 4)
    found_at = calibrate([judged], 0.75)
    assert (found_at.score, found_at.precision, found_at.recall) == (0.6, 0.75, 0.75)
    assert calibrate([judged], 1.0).score == 0.8
    assert math.isnan(calibrate([Judged(scores, np.zeros(6, bool), 4)], 0.9).score)
    tied = Judged(np.array([0.5, 0.5]), np.array([True, False]), 1)
    assert math.isnan(calibrate([tied], 0.9).score), "detections of one score stand or fall together"
    assert calibrate([judged, tied], 0.6).n_positive == 5
