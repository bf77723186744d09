"""The numbers of a report and the table of classes, from the detections of an evaluation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from trainables.oneshot.config import Config
from trainables.oneshot.data.records import OneShotData, Scene
from trainables.oneshot.evaluation.evaluate import Evaluation
from trainables.oneshot.evaluation.scoring import (
    ClassScore,
    Found,
    Threshold,
    Truth,
    calibrate,
    judge,
    mean_of,
    merged_ap,
    score_classes,
)

ALL_CLASSES = "(all classes)"
_NUMBERS = (
    "ap50", "ap50_95", "recall50", "precision_goal", "threshold", "threshold_precision", "threshold_recall"
)  # fmt: skip
_CLASSES = pa.schema(
    [("class", pa.string()), ("unseen", pa.bool_()), ("objects", pa.int64()), *((n, pa.float64()) for n in _NUMBERS)]
)


def found_by_class(evaluation: Evaluation) -> dict[str, dict[str, Found]]:
    """class -> scene -> detections."""
    found: dict[str, dict[str, Found]] = {name: {} for name in evaluation.classes}
    for scene, boxes in zip(evaluation.scenes, evaluation.final, strict=True):
        for owner in boxes.owner.unique().tolist():
            mine = boxes.pick((boxes.owner == owner).nonzero()[:, 0])
            found[evaluation.classes[owner]][scene.id] = Found(mine.box.double().numpy(), mine.score.double().numpy())
    return found


def truth_by_class(scenes: Sequence[Scene], classes: Sequence[str]) -> dict[str, dict[str, Truth]]:
    """class -> scene -> objects."""
    truth: dict[str, dict[str, Truth]] = {name: {} for name in classes}
    for scene in scenes:
        for name in sorted(set(scene.labels) & set(truth)):
            mine = [i for i, label in enumerate(scene.labels) if label == name]
            truth[name][scene.id] = Truth(scene.boxes[mine].double().numpy(), scene.difficult[mine].numpy())
    return truth


def report_numbers(evaluation: Evaluation, data: OneShotData, config: Config) -> tuple[dict[str, float], pa.Table]:
    """The numbers of a report, and a table with one row per class.

    The numbers are of unseen classes, or of seen ones if none is unseen. The row of a class has its objects, APs,
    recall, and the score threshold for the configured precision; the last row has the threshold that all evaluated
    classes share, which also applies to a class without annotations.
    """
    found, truth = found_by_class(evaluation), truth_by_class(evaluation.scenes, evaluation.classes)
    offset, goal = config.evaluation.pixel_offset, config.evaluation.precision_goal
    scored = score_classes(found, truth, offset)
    judged = {name: scored[name] for name in data.unseen or data.seen}
    merged = merged_ap({name: found[name] for name in judged}, {name: truth[name] for name in judged})
    numbers = {
        "map50": mean_of(judged, "ap50"),
        "map50_95": mean_of(judged, "ap50_95"),
        "map50_weighted": mean_of(judged, "ap50", weighted=True),
        "recall50": mean_of(judged, "recall"),
        "ap50_merged": merged,
        "head_seconds": evaluation.head_seconds,
    }
    if data.unseen and data.seen:
        numbers["map50_seen"] = mean_of({name: scored[name] for name in data.seen}, "ap50")
    ranked = {name: judge(found[name], truth[name], 0.5, offset) for name in evaluation.classes}
    rows = [_row(n, n in data.unseen, scored[n], calibrate([ranked[n]], goal), goal) for n in evaluation.classes]
    objects = sum(each.n_positive for each in judged.values())
    whole = ClassScore(objects, merged, float("nan"), numbers["recall50"])
    rows.append(_row(ALL_CLASSES, bool(data.unseen), whole, calibrate([ranked[n] for n in judged], goal), goal))
    return numbers, pa.Table.from_pylist(rows, _CLASSES)


def _row(name: str, unseen: bool, score: ClassScore, threshold: Threshold, goal: float) -> dict[str, Any]:
    """The cells of one class; empty if it has no objects, or no threshold reaches the precision."""
    numbers = {
        "ap50": score.ap50,
        "ap50_95": score.ap50_95,
        "recall50": score.recall,
        "precision_goal": goal,
        "threshold": threshold.score,
        "threshold_precision": threshold.precision,
        "threshold_recall": threshold.recall,
    }
    known = {key: None if math.isnan(value) else value for key, value in numbers.items()}
    return {"class": name, "unseen": unseen, "objects": score.n_positive, **known}
