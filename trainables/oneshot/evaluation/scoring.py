"""Average precision as defined by PASCAL VOC (all points), and AP averaged over IoU .5 to .95.

Everingham et al., "The Pascal Visual Object Classes Challenge", IJCV 2010; the mean over thresholds after Lin et al.,
"Microsoft COCO", ECCV 2014.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
THRESHOLDS = tuple(round(0.5 + 0.05 * i, 2) for i in range(10))


@dataclass(frozen=True)
class Found:
    """Detections of one class in one scene: boxes (n, 4) in pixels and scores (n,)."""

    boxes: Array
    scores: Array


@dataclass(frozen=True)
class Truth:
    """Objects of one class in one scene: boxes (m, 4) in pixels and difficult (m,)."""

    boxes: Array
    difficult: NDArray[np.bool_]


@dataclass(frozen=True)
class Judged:
    """The detections of one class, best first, without those of difficult objects.

    Args:
        scores: (n,), falling.
        right: (n,), whether each detection is correct.
        n_positive: objects that are not difficult.
    """

    scores: Array
    right: NDArray[np.bool_]
    n_positive: int

    @property
    def ap(self) -> float:
        """Average precision; NaN without objects."""
        return average_precision(self.right, self.n_positive)

    @property
    def recall(self) -> float:
        """Share of the objects that some detection found; NaN without objects."""
        return float(self.right.sum() / self.n_positive) if self.n_positive else float("nan")


def overlaps(first: Array, second: Array, pixel_offset: float = 0.0) -> Array:
    """(n, m) intersection over union; `pixel_offset` is added to every side (1 reproduces VOC's tools)."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = np.clip(high - low + pixel_offset, 0, None).prod(-1)
    sizes = [(boxes[:, 2:] - boxes[:, :2] + pixel_offset).prod(-1) for boxes in (first, second)]
    union = sizes[0][:, None] + sizes[1][None, :] - shared
    return np.where(union > 0, shared / np.maximum(union, 1e-12), 0.0)


def judge(
    found: Mapping[str, Found], truth: Mapping[str, Truth], threshold: float = 0.5, pixel_offset: float = 0.0
) -> Judged:
    """Match the detections of one class, by scene, with its objects.

    A detection is matched with the object that it overlaps most. Below the threshold it is wrong; if the object is
    difficult it does not count; an object's best detection by score is right, further ones are wrong.
    """
    scores, right = [np.zeros(0)], [np.zeros(0, bool)]
    for scene, detections in found.items():
        order = np.argsort(-detections.scores, kind="stable")
        objects = truth.get(scene)
        hit, counted = np.zeros(len(order), bool), np.ones(len(order), bool)
        if objects is not None and len(objects.boxes) and len(order):
            shared = overlaps(detections.boxes[order].reshape(-1, 4), objects.boxes, pixel_offset)
            best = shared.argmax(1)
            over = shared.max(1) >= threshold
            counted = ~(over & objects.difficult[best])
            _, first = np.unique(np.where(over, best, -1), return_index=True)
            hit[first] = True  # the best-ranked detection of every object, and of no object
            hit &= over & counted
        scores.append(detections.scores[order][counted])
        right.append(hit[counted])
    ranked, correct = np.concatenate(scores), np.concatenate(right)
    order = np.argsort(-ranked, kind="stable")
    n_positive = sum(int((~objects.difficult).sum()) for objects in truth.values())
    return Judged(ranked[order], correct[order], n_positive)


def average_precision(right: NDArray[np.bool_], n_positive: int) -> float:
    """Area under the precision-recall curve, with the largest precision at each recall or above; else NaN."""
    if n_positive == 0:
        return float("nan")
    hits = right.cumsum()
    precision = np.maximum.accumulate((hits / np.arange(1, len(right) + 1))[::-1])[::-1]
    return float(precision[right].sum() / n_positive)


@dataclass(frozen=True)
class ClassScore:
    """The scores of one class: objects that are not difficult, AP at IoU 0.5, AP over .5 to .95, recall at IoU 0.5."""

    n_positive: int
    ap50: float
    ap50_95: float
    recall: float


Detections = Mapping[str, Mapping[str, Found]]  # class -> scene -> detections
Objects = Mapping[str, Mapping[str, Truth]]


def score_classes(found: Detections, truth: Objects, pixel_offset: float = 0.0) -> dict[str, ClassScore]:
    """class -> its scores, for every class of detections or objects."""
    scored = {}
    for name in sorted({*found, *truth}):
        judged = [judge(found.get(name, {}), truth.get(name, {}), t, pixel_offset) for t in THRESHOLDS]
        mean = float(np.mean([each.ap for each in judged]))
        scored[name] = ClassScore(judged[0].n_positive, judged[0].ap, mean, judged[0].recall)
    return scored


def mean_of(scored: Mapping[str, ClassScore], field: str, weighted: bool = False) -> float:
    """Mean of a field over classes with objects, optionally weighted by their number; NaN if no class has objects."""
    counted = [each for each in scored.values() if each.n_positive]
    if not counted:
        return float("nan")
    return float(np.average([getattr(each, field) for each in counted],
                            weights=[each.n_positive for each in counted] if weighted else None))  # fmt: skip


def joined(judged: Sequence[Judged]) -> Judged:
    """The detections of several classes, ranked together."""
    scores = np.concatenate([each.scores for each in judged] or [np.zeros(0)])
    right = np.concatenate([each.right for each in judged] or [np.zeros(0, bool)])
    order = np.argsort(-scores, kind="stable")
    return Judged(scores[order], right[order], sum(each.n_positive for each in judged))


def merged_ap(found: Detections, truth: Objects) -> float:
    """AP at IoU 0.5 of all classes' detections ranked together; high if one threshold works for all classes."""
    return joined([judge(found.get(name, {}), truth.get(name, {})) for name in sorted({*found, *truth})]).ap


@dataclass(frozen=True)
class Threshold:
    """The lowest score that reaches a precision, with precision and recall there; NaN if no score reaches it."""

    score: float
    precision: float
    recall: float
    n_positive: int


def calibrate(judged: Sequence[Judged], precision: float) -> Threshold:
    """The threshold for one class, or for several classes together.

    Args:
        judged: detections of each class.
        precision: least share of correct detections above the threshold.
    """
    ranked = joined(judged)
    scores, hits, n_positive = ranked.scores, ranked.right.cumsum(), ranked.n_positive
    reached = hits / np.arange(1, len(scores) + 1)
    last_of_score = np.append(scores[1:] < scores[:-1], True) if len(scores) else np.zeros(0, bool)
    kept = np.flatnonzero((reached >= precision) & last_of_score)
    if len(kept) == 0 or n_positive == 0:
        return Threshold(float("nan"), float("nan"), float("nan"), n_positive)
    at = kept[-1]
    return Threshold(float(scores[at]), float(reached[at]), float(hits[at] / n_positive), n_positive)
