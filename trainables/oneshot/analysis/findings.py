"""The findings of a sweep of detectors: untrained and trained models, the classes of the best trial, its detections."""

from __future__ import annotations

import io
import math
import statistics
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from PIL import Image

from raybayes.contract import Findings, Finished
from trainables.oneshot.analysis.curves import judged, precision_recall
from trainables.oneshot.detection.drawing import Shown, draw

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_SHOWN = 12  # detections drawn in one scene
_LISTED = 10  # trials


def findings(finished: Finished) -> Findings:
    """Tables and figures of all trials with reports; empty without any."""
    compared = _before_and_after(finished)
    if not compared:
        return Findings()
    tables = {"mAP@0.5 of unseen classes before and after training, mean over repeats": pa.Table.from_pylist(compared)}
    figures: dict[str, Figure] = {}
    best = compared[0]["trial"]
    if "classes" in finished.tables and len(classes := finished.table("classes", best)):
        tables[f"Classes of trial {best}, mean over repeats"] = _classes(classes)
    if "detections" in finished.tables and len(objects := finished.table("objects", best, 0)):
        ranked = judged(finished.table("detections", best, 0), objects, finished.table("classes", best, 0))
        if any(one.n_positive for one in ranked.values()):
            figures[f"Precision and recall of trial {best}, the classes with most objects"] = precision_recall(ranked)
    if "pictures" in finished.tables and len(pictures := finished.table("pictures", best, 0)):
        figures |= _drawn(finished, best, pictures)
    return Findings(tables, figures)


def mean_and_error(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and standard error; None for the error of a single value."""
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
    return statistics.fmean(values), error


def _before_and_after(finished: Finished) -> list[dict[str, Any]]:
    """The best trials by their last report, each with the untrained model of its configuration."""
    curves: dict[int, dict[int, dict[int, dict[str, Any]]]] = defaultdict(lambda: defaultdict(dict))
    for report in finished.reports.to_pylist():
        if report["map50"] is not None and math.isfinite(report["map50"]):
            curves[report["trial"]][report["repeat"]][report["step"]] = report
    rows = []
    for trial, repeats in curves.items():
        ends = [(steps[min(steps)], steps[max(steps)]) for steps in repeats.values()]
        row: dict[str, Any] = {"trial": trial, "n": len(ends), "updates": max(last["updates"] for _, last in ends)}
        row["untrained"], row["untrained.se"] = mean_and_error([first["map50"] for first, _ in ends])
        row["trained"], row["trained.se"] = mean_and_error([last["map50"] for _, last in ends])
        row["head, s per class"] = statistics.fmean(last["head_seconds"] for _, last in ends)
        rows.append(row)
    return sorted(rows, key=lambda row: -float(row["trained"]))[:_LISTED]


def _classes(table: pa.Table) -> pa.Table:
    by_class: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for stored in table.to_pylist():
        by_class[stored["class"]].append(stored)
    rows = []
    for name, listed in by_class.items():
        row: dict[str, Any] = {"class": name, "unseen": listed[0]["unseen"], "objects": listed[0]["objects"]}
        for title, key in (("AP50", "ap50"), ("threshold", "threshold"), ("recall there", "threshold_recall")):
            known = [one[key] for one in listed if one[key] is not None and math.isfinite(one[key])]
            row[title], row[f"{title}.se"] = mean_and_error(known) if known else (None, None)
        rows.append(row)
    return pa.Table.from_pylist(rows)


def _drawn(finished: Finished, trial: int, pictures: pa.Table) -> dict[str, Figure]:
    detections = finished.table("detections", trial, 0).to_pylist()
    objects = finished.table("objects", trial, 0).to_pylist()
    files = {(row["kind"], row["name"]): row["jpeg"] for row in pictures.to_pylist()}
    opened = {key: Image.open(io.BytesIO(jpeg)).convert("RGB") for key, jpeg in files.items()}
    figures = {}
    for (kind, name), picture in opened.items():
        if kind != "scene":
            continue
        mine = [row for row in objects if row["scene"] == name]
        factor = picture.width / mine[0]["width"]
        boxes = [[row[c] * factor for c in ("x0", "y0", "x1", "y1")] for row in mine if row["class"] is not None]
        labels = sorted({row["class"] for row in mine if row["class"] is not None})
        best = sorted((r for r in detections if r["scene"] == name), key=lambda r: -r["score"])[
            : min(_MOST_SHOWN, len(boxes) + 2)
        ]
        shown = [
            Shown(
                r["class"],
                r["score"],
                [r[c] * factor for c in ("x0", "y0", "x1", "y1")],
                [v * factor for v in r["corners"]],
            )
            for r in best
        ]
        labels += [label for label in dict.fromkeys(row["class"] for row in best) if label not in labels]
        insets = {label: opened["class", label] for label in labels if ("class", label) in opened}
        caption = f"Trial {trial}, scene {name}: the best detections; objects are dashed"
        figures[caption] = draw(picture, shown, insets, boxes)
    return figures
