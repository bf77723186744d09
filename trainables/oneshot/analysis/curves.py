"""Precision against recall, per class and for all evaluated classes ranked together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from trainables.oneshot.detection.drawing import COLOURS, short
from trainables.oneshot.evaluation.report import ALL_CLASSES
from trainables.oneshot.evaluation.scoring import Array, Found, Judged, Truth, joined, judge

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_CORNERS = ("x0", "y0", "x1", "y1")


def truth_of(objects: pa.Table, unseen_only: bool = True) -> dict[str, dict[str, Truth]]:
    """class -> scene -> stored objects; with `unseen_only` only of unseen classes, if there are any."""
    labelled = [row for row in objects.to_pylist() if row["class"] is not None]
    has_unseen = any(row["unseen"] for row in labelled)
    kept = [row for row in labelled if row["unseen"] or not (unseen_only and has_unseen)]
    truth: dict[str, dict[str, Truth]] = {name: {} for name in sorted({row["class"] for row in kept})}
    for name, scene in sorted({(row["class"], row["scene"]) for row in kept}):
        mine = [row for row in kept if row["class"] == name and row["scene"] == scene]
        boxes = np.array([[row[corner] for corner in _CORNERS] for row in mine], float)
        truth[name][scene] = Truth(boxes, np.array([row["difficult"] for row in mine], bool))
    return truth


def judged(detections: pa.Table, objects: pa.Table, classes: pa.Table) -> dict[str, Judged]:
    """class -> its stored detections at IoU 0.5; those of a class without objects are all wrong."""
    listed = [row for row in classes.to_pylist() if row["class"] != ALL_CLASSES]
    has_unseen = any(row["unseen"] for row in listed)
    truth = truth_of(objects)
    names, scenes = (np.array(detections[column].to_pylist(), object) for column in ("class", "scene"))
    boxes = np.stack([detections[corner].to_numpy() for corner in _CORNERS], 1).astype(float)
    scores = detections["score"].to_numpy().astype(float)
    ranked = {}
    for name in sorted(row["class"] for row in listed if row["unseen"] or not has_unseen):
        found = {}
        for scene in np.unique(scenes[names == name].astype(str)):
            mine = (names == name) & (scenes == scene)
            found[str(scene)] = Found(boxes[mine], scores[mine])
        ranked[name] = judge(found, truth.get(name, {}))
    return ranked


def precision_recall(ranked: dict[str, Judged]) -> Figure:
    """One curve per class, of the seven with most objects, and one of all classes ranked together.

    Precision is the largest at each recall or above, so that the area below a curve is the average precision.
    """
    from matplotlib.figure import Figure

    with_objects = [(name, one) for name, one in ranked.items() if one.n_positive]
    shown = sorted(with_objects, key=lambda pair: -pair[1].n_positive)[: len(COLOURS)]
    figure = Figure(figsize=(7.0, 4.0), layout="constrained")
    axes = figure.subplots()
    for i, (name, one) in enumerate(shown):
        axes.plot(
            *_steps(one), color=COLOURS[i], linewidth=1.3, label=f"{short(name)}: {one.ap:.2f} ({one.n_positive})"
        )
    together = joined(list(ranked.values()))
    axes.plot(
        *_steps(together),
        color="black",
        linewidth=2.2,
        label=f"all {len(ranked)} classes: {together.ap:.2f} ({together.n_positive})",
    )
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1.01), ylim=(0, 1.02))
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, title="AP at IoU 0.5 (objects)")
    return figure


def _steps(one: Judged) -> tuple[Array, Array]:
    """Corners of the curve, (points,) recall and precision; it falls to 0 at the largest recall."""
    hits = one.right.cumsum()
    precision = np.maximum.accumulate((hits / np.arange(1, len(hits) + 1))[::-1])[::-1][one.right]
    recall = np.arange(len(precision) + 1) / one.n_positive
    return np.repeat(recall, 2)[1:], np.append(np.repeat(precision, 2), 0.0)
