"""Judging a detector: every class in every scene, average precision, and the tables that are kept."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from raybayes.clock import WALL
from raybayes.errors import DataError
from trainables.oneshot.config import Config
from trainables.oneshot.data.records import OneShotData, Scene
from trainables.oneshot.detection.finder import BOX_BYTES, Boxes, Finder, finish, most_boxes
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
_OBJECTS = pa.schema(
    [
        ("scene", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("class", pa.string()),
        ("unseen", pa.bool_()),
        ("difficult", pa.bool_()),
        *((name, pa.float32()) for name in ("x0", "y0", "x1", "y1")),
    ]
)


@dataclass(frozen=True)
class Evaluation:
    """What was found in which scenes.

    Args:
        scenes: those that were judged, in order.
        raw: boxes before suppression, one a scene; empty if they were not asked for.
        final: detections, one a scene.
        classes: names that the boxes' owners stand for.
        head_seconds: of the head, per class image and scene, all levels.
    """

    scenes: tuple[Scene, ...]
    raw: tuple[Boxes, ...]
    final: tuple[Boxes, ...]
    classes: tuple[str, ...]
    head_seconds: float


def check_storage(config: Config, data: OneShotData, long_side: int) -> None:
    """DataError if the boxes before suppression, which `evaluation.raw` keeps, would be too many."""
    if not config.evaluation.raw:
        return
    scenes = data.evaluate[: config.evaluation.scenes or None]
    used = config.inference.class_images
    images = sum(len(data.class_images[name][:used]) for name in (*data.unseen, *data.seen))
    boxes = most_boxes(config, [(scene.width, scene.height) for scene in scenes], long_side, images)
    if boxes > config.evaluation.most_raw:
        raise DataError(
            f"evaluation.raw = true would hold up to {boxes:,} boxes of {len(scenes)} scenes and {images} class images"
            f" before suppression, and evaluation.most_raw = {config.evaluation.most_raw:,}; set evaluation.raw = false"
            " (raybayes rescore then has nothing to work on), lower inference.top_k or evaluation.scenes, or raise"
            f" the limit ({boxes * BOX_BYTES / 2**30:.1f} GiB are needed)."
        )


def evaluate(
    finder: Finder, config: Config, data: OneShotData, rank: int, world_size: int,
    gather: Callable[[Any], list[Any]], log: logging.Logger, keep_raw: bool,
) -> Evaluation:  # fmt: skip
    """Look for every judged class in every scene; workers share the scenes."""
    finder.head_seconds, finder.head_calls = 0.0, 0
    names = (*data.unseen, *data.seen)
    finder.learn({name: [image.picture for image in data.class_images[name]] for name in names})
    scenes = data.evaluate[: config.evaluation.scenes or None]
    mine: list[tuple[int, Boxes, Boxes | None]] = []
    began = told = WALL.elapsed()
    for i in range(rank, len(scenes), world_size):
        raw = finder.raw(scenes[i].picture)
        mine.append((i, finish(raw, config.inference), raw if keep_raw else None))
        if WALL.elapsed() - told > 30:
            told = WALL.elapsed()
            left = (told - began) * (len(scenes) - i - 1) / (i + 1)
            log.info("judged %d of %d scenes, about %.0f s left", i + 1, len(scenes), left)
    gathered = gather((mine, finder.head_seconds, finder.head_calls / max(len(config.levels), 1)))
    judged = sorted((each for part, _, _ in gathered for each in part), key=lambda each: each[0])
    final, kept = tuple(boxes for _, boxes, _ in judged), tuple(boxes for _, _, boxes in judged if boxes is not None)
    seconds = sum(seconds for _, seconds, _ in gathered) / max(sum(calls for _, _, calls in gathered), 1.0)
    return Evaluation(scenes, kept, final, names, seconds)


def found_by_class(evaluation: Evaluation) -> dict[str, dict[str, Found]]:
    """Detections by class and scene."""
    found: dict[str, dict[str, Found]] = {name: {} for name in evaluation.classes}
    for scene, boxes in zip(evaluation.scenes, evaluation.final, strict=True):
        for owner in boxes.owner.unique().tolist():
            mine = boxes.pick((boxes.owner == owner).nonzero()[:, 0])
            found[evaluation.classes[owner]][scene.id] = Found(mine.box.double().numpy(), mine.score.double().numpy())
    return found


def truth_by_class(scenes: Sequence[Scene], classes: Sequence[str]) -> dict[str, dict[str, Truth]]:
    """Objects by class and scene."""
    truth: dict[str, dict[str, Truth]] = {name: {} for name in classes}
    for scene in scenes:
        for name in sorted(set(scene.labels) & set(truth)):
            mine = [i for i, label in enumerate(scene.labels) if label == name]
            truth[name][scene.id] = Truth(scene.boxes[mine].double().numpy(), scene.difficult[mine].numpy())
    return truth


def judgement(evaluation: Evaluation, data: OneShotData, config: Config) -> tuple[dict[str, float], pa.Table]:
    """The numbers that a report carries, and one row a class.

    The numbers are of unseen classes, or of seen ones where none is unseen. A class's row has its objects, APs,
    recall, and the score threshold that keeps the wanted precision; the last row is the threshold that all judged
    classes share, which is what carries over to a class that nobody has annotated.
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
    """Cells of one class; empty where there is nothing to find, or no threshold keeps the precision."""
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


def box_table(scenes: Sequence[Scene], found: Sequence[Boxes], classes: Sequence[str], corners: bool) -> pa.Table:
    """One row a box: scene, class, level, view, score, x0, y0, x1, y1 in pixels, and the corners if asked."""
    counts = [len(boxes) for boxes in found]
    boxes = Boxes.joined(found) if found else Boxes.none()
    names = np.asarray([*classes, ""], object)
    columns: dict[str, Any] = {
        "scene": pa.array(np.repeat([scene.id for scene in scenes], counts), pa.string()),
        "class": pa.array(names[boxes.owner.numpy()], pa.string()),
        "level": boxes.level.float().numpy(),
        "view": boxes.view.numpy().astype(np.int16),
        "score": boxes.score.float().numpy(),
        **{name: boxes.box[:, i].float().numpy() for i, name in enumerate(("x0", "y0", "x1", "y1"))},
    }
    if corners:
        flat = pa.array(boxes.corners.float().numpy().reshape(-1))
        columns["corners"] = pa.FixedSizeListArray.from_arrays(flat, 8)
    return pa.table(columns)


def truth_table(scenes: Sequence[Scene], classes: Sequence[str], unseen: Sequence[str]) -> pa.Table:
    """One row an object of the judged classes; scenes without one have a row without a class."""
    rows: list[dict[str, Any]] = []
    for scene in scenes:
        base = {"scene": scene.id, "width": scene.width, "height": scene.height}
        listed = [i for i, label in enumerate(scene.labels) if label in classes]
        for i in listed:
            label, edges = scene.labels[i], dict(zip(("x0", "y0", "x1", "y1"), scene.boxes[i].tolist(), strict=True))
            known = {"class": label, "unseen": label in unseen, "difficult": bool(scene.difficult[i])}
            rows.append({**base, **known, **edges})
        if not listed:
            rows.append(base)
    return pa.Table.from_pylist(rows, _OBJECTS)
