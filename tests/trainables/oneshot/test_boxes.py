"""Boxes, targets and losses against slow versions of their definitions."""

import math

import numpy as np
import pytest
import torch
import torchvision

from trainables.oneshot.geometry import boxes as bx
from trainables.oneshot.geometry.targets import IGNORED, NEGATIVE, POSITIVE, Objects, assign
from trainables.oneshot.model.losses import Margins, box_loss, class_loss


def random_boxes(n, seed=0, size=200.0):
    corner = torch.rand(n, 2, generator=torch.Generator().manual_seed(seed)) * size
    side = torch.rand(n, 2, generator=torch.Generator().manual_seed(seed + 1)) * size / 2 + 2
    return torch.cat([corner, corner + side], 1)


def test_iou_equals_torchvision():
    first, second = random_boxes(40), random_boxes(30, 5)
    assert torch.allclose(bx.iou(first, second), torchvision.ops.box_iou(first, second), atol=1e-6)


def test_the_coder_goes_there_and_back():
    boxes, anchors = random_boxes(500), random_boxes(500, 9)
    assert (bx.decode(bx.encode(boxes, anchors), anchors) - boxes).abs().max() < 1e-3
    assert torch.equal(bx.encode(anchors, anchors), torch.zeros(500, 4))


def test_the_coder_has_the_published_weights_and_limits():
    anchor = torch.tensor([[0.0, 0, 100, 50]])
    code = bx.encode(torch.tensor([[10.0, 5, 210, 55]]), anchor)[0].tolist()
    assert code == pytest.approx([10 * 0.6, 10 * 0.1, 5 * math.log(2), 0.0], abs=1e-5)
    assert torch.isfinite(bx.encode(torch.zeros(1, 4), anchor)).all(), "sides below a pixel count as one"
    grown = bx.decode(torch.tensor([[0.0, 0, 1e6, 0]]), anchor)[0]
    assert float(grown[2] - grown[0]) == pytest.approx(100 * 1000 / 16, rel=1e-4)


def test_suppression_equals_the_greedy_loop():
    boxes, scores = random_boxes(200, 3, 100.0), torch.rand(200, generator=torch.Generator().manual_seed(7))
    kept = []
    for i in scores.argsort(descending=True).tolist():
        if all(bx.iou(boxes[i : i + 1], boxes[j : j + 1]) <= 0.3 for j in kept):
            kept.append(i)
    assert bx.suppress(boxes, scores, 0.3).tolist() == kept


def test_suppression_in_chunks_leaves_no_overlap(monkeypatch):
    boxes, scores = random_boxes(400, 3, 300.0), torch.rand(400, generator=torch.Generator().manual_seed(7))
    monkeypatch.setattr(bx, "_CHUNK", 50)
    kept = bx.suppress(boxes, scores, 0.3)
    overlap = bx.iou(boxes[kept], boxes[kept]) - torch.eye(len(kept))
    assert overlap.max() <= 0.3
    assert kept[0] == scores.argmax()
    assert (scores[kept].diff() <= 0).all()


def test_assignment():
    """Anchors: on the object; half beside it; far away; on the difficult one; just below the threshold."""
    anchors = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 25], [50, 50, 60, 60], [100, 0, 110, 10], [0, 0, 10, 20.1]])
    objects = Objects(torch.tensor([[0.0, 0, 10, 10], [100, 0, 110, 10]]), torch.tensor([False, True]))
    found = assign(anchors, objects, 0.5, 0.1)
    assert found.label.tolist() == [POSITIVE, IGNORED, NEGATIVE, IGNORED, IGNORED]
    assert found.box.tolist()[:1] == [0]
    assert assign(anchors, objects, 0.4, 0.1).label.tolist() == [POSITIVE, POSITIVE, NEGATIVE, IGNORED, POSITIVE]
    nothing = Objects(torch.zeros(0, 4), torch.zeros(0, dtype=torch.bool))
    assert assign(anchors, nothing, 0.5, 0.1).label.tolist() == [NEGATIVE] * 5


def test_an_object_without_an_anchor_gets_none():
    anchors = torch.tensor([[0.0, 0, 100, 100]])
    small = Objects(torch.tensor([[40.0, 40, 80, 80]]), torch.tensor([False]))
    assert assign(anchors, small, 0.5, 0.1).label.tolist() == [IGNORED]


def batch(seed=0, b=2, k=3, a=40):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.rand(b, k, a, generator=generator, dtype=torch.float64) * 2 - 1
    labels = torch.randint(-1, 2, (b, k, a), generator=generator)
    return scores, labels


def ranked_by_hand(scores, labels, m):
    pulled = [max(m.positive - s, 0) / 2 for s, y in zip(scores.flatten(), labels.flatten(), strict=True) if y == 1]
    total = sum(pulled) / max(sum(value > 0 for value in pulled), 1)
    terms = []
    for k in range(scores.shape[1]):
        pushed = [
            max(float(s) - m.negative, 0) / 2
            for s, y in zip(scores[:, k].flatten(), labels[:, k].flatten(), strict=True)
            if y == -1
        ]
        if not pushed or max(pushed) <= 1e-5:
            continue
        t = -math.log(m.ranked_ratio) / max(pushed)
        weights = [math.exp((value - max(pushed)) * t) if value > 0 else 0.0 for value in pushed]
        terms.append(sum(w * v for w, v in zip(weights, pushed, strict=True)) / sum(weights))
    return float(total) + m.negative_weight * (sum(terms) / len(terms) if terms else 0.0)


def mined_by_hand(scores, labels, m, power):
    flat = list(zip(scores.flatten().tolist(), labels.flatten().tolist(), strict=True))
    positives = [max(m.positive - s, 0) / 2 for s, y in flat if y == 1]
    negatives = sorted((max(s - m.negative, 0) / 2 for s, y in flat if y == -1), reverse=True)
    count = max(len(positives), 1)
    kept = negatives[: math.ceil(m.hard_ratio * count)]
    return (sum(v**power for v in positives) + m.negative_weight * sum(v**power for v in kept)) / count


@pytest.mark.parametrize("seed", range(4))
def test_losses_equal_loops(seed):
    scores, labels = batch(seed)
    m = Margins(0.6, 0.2, 0.01, 1.5, 0.7)
    assert float(class_loss("rll", scores, scores, labels, m)) == pytest.approx(ranked_by_hand(scores, labels, m))
    for kind, power in (("contrastive", 2), ("hinge", 1)):
        found = float(class_loss(kind, scores, scores, labels, m))
        assert found == pytest.approx(mined_by_hand(scores, labels, m, power))


@pytest.mark.parametrize("kind", ["rll", "contrastive", "hinge"])
def test_negatives_count_without_positives(kind):
    """The published code loses them: on a CPU always, and in a batch without positives."""
    scores, labels = batch()
    labels = torch.where(labels == POSITIVE, IGNORED, labels)
    assert float(class_loss(kind, scores, scores, labels, Margins(0.6, 0.2))) > 0.05


@pytest.mark.parametrize("kind", ["rll", "contrastive", "hinge"])
def test_losses_without_anything_are_zero_and_differentiable(kind):
    scores = torch.zeros(1, 1, 4, requires_grad=True)
    loss = class_loss(kind, scores, scores, torch.zeros(1, 1, 4, dtype=torch.long), Margins(0.6, 0.2))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(scores.grad, torch.zeros(1, 1, 4))


def test_negatives_use_the_detached_scores():
    scores, labels = batch()
    still = torch.full_like(scores, -1.0)
    m = Margins(0.6, 0.2)
    only_positives = class_loss("rll", scores, still, labels, m)
    assert float(only_positives) == pytest.approx(ranked_by_hand(scores, torch.where(labels == -1, 0, labels), m))


def test_the_box_loss_is_summed_over_coordinates_and_averaged_over_boxes():
    codes = torch.tensor([[0.5, 0, 0, 0], [3.0, 0, 0, -2.0]])
    assert float(box_loss(codes, torch.zeros(2, 4))) == pytest.approx((0.125 + (2.5 + 1.5)) / 2)
    assert float(box_loss(torch.zeros(0, 4), torch.zeros(0, 4))) == 0
    assert np.isfinite(float(box_loss(codes, codes)))
