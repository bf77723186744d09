"""`raybayes rescore` for the detector: other thresholds, suppression and pyramids on the stored boxes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from pydantic import BaseModel, ConfigDict, Field

from raybayes.contract import Findings, Finished
from raybayes.errors import DataError
from trainables.oneshot.analysis.curves import truth_of
from trainables.oneshot.analysis.findings import mean_and_error
from trainables.oneshot.config import InferenceValues
from trainables.oneshot.detection.finder import Boxes, finish
from trainables.oneshot.evaluation.scoring import Found, Truth, average_precision, judge

_LISTED = 15


class RescoreSettings(BaseModel):
    """The values to try, in all combinations."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    nms_iou: tuple[float, ...] = Field((0.2, 0.3, 0.4, 0.5, 0.6), description="Overlaps of suppression within a class")
    nms_across_classes: tuple[bool, ...] = Field((False, True), description="Suppression across classes")
    score_quantile: tuple[float, ...] = Field((0.0,), description="Share of the lowest scores to leave out")
    top_k: tuple[int, ...] = Field((300,), description="Boxes per class, view and level, at most those stored")
    level_ranges: bool = Field(True, description="Try every range of neighbouring levels of the stored pyramid")
    unseen: bool = Field(True, description="Evaluate only unseen classes, if there are any")


@dataclass(frozen=True)
class _Variant:
    """One variant of inference: its values, and the used levels."""

    nms_iou: float
    nms_across_classes: bool
    score_quantile: float
    top_k: int
    levels: tuple[float, ...]


@dataclass(frozen=True)
class _Stored:
    """One run: scene -> boxes, class -> scene -> objects."""

    boxes: Mapping[str, Boxes]
    truth: Mapping[str, Mapping[str, Truth]]
    classes: tuple[str, ...]


def rescored(finished: Finished, settings: RescoreSettings) -> Findings:
    """mAP@0.5 of every variant of inference, for every stored run, and the best variants.

    A second table has the unbiased number: each half of the scenes is scored by the best variant of the other half.

    Raises:
        DataError: no raw boxes are stored.
    """
    if "raw" not in finished.tables:
        raise DataError("no raw boxes are stored here; run with evaluation.raw = true until a trial has finished.")
    keys = sorted({(row["trial"], row["repeat"]) for row in finished.reports.select(["trial", "repeat"]).to_pylist()})
    rows, chosen = [], []
    for trial, repeat in keys:
        raw = finished.table("raw", trial, repeat)
        if len(raw) == 0:
            continue
        stored = _read(raw, finished.table("objects", trial, repeat), settings.unseen)
        scored = [(variant, _halves(stored, variant)) for variant in _variants(stored, settings)]
        rows += [_row(trial, repeat, variant, whole) for variant, (whole, _, _) in scored]
        crossed = _crossed([halves for _, halves in scored])
        best = max(whole for _, (whole, _, _) in scored)
        worth = None if np.isnan(crossed) else crossed
        chosen.append(
            {"trial": trial, "repeat": repeat, "variants": len(scored), "best": best, "chosen on the other half": worth}
        )
    if not rows:
        raise DataError("no run has stored raw boxes yet; wait until one has finished.")
    results = pa.Table.from_pylist(rows)
    tables = {
        "Variants of inference by mAP@0.5, mean over runs": _summary(rows),
        _worth_title(chosen): pa.Table.from_pylist(chosen),
    }
    return Findings(tables, results=results)


def _read(raw: pa.Table, objects: pa.Table, unseen_only: bool) -> _Stored:
    truth = truth_of(objects, unseen_only)
    classes = tuple(truth)
    names = np.array(raw["class"].to_pylist(), object)
    scenes = np.array(raw["scene"].to_pylist(), object)
    column = {
        name: torch.from_numpy(raw[name].to_numpy().copy())
        for name in ("view", "level", "score", "x0", "y0", "x1", "y1")
    }
    index = {name: i for i, name in enumerate(classes)}
    boxes_of: dict[str, Boxes] = {}
    for scene in sorted(set(objects["scene"].to_pylist())):
        picked = torch.from_numpy(np.flatnonzero((scenes == scene) & np.isin(names, classes)))
        owner = torch.tensor([index[name] for name in names[picked.numpy()]], dtype=torch.long)
        box = torch.stack([column[c][picked] for c in ("x0", "y0", "x1", "y1")], 1).float()
        boxes_of[scene] = Boxes(
            owner, column["view"][picked].long(), column["level"][picked], column["score"][picked], box,
            torch.zeros(len(picked), 8),
        )  # fmt: skip
    return _Stored(boxes_of, truth, classes)


def _variants(stored: _Stored, settings: RescoreSettings) -> Iterator[_Variant]:
    levels = sorted({round(float(v), 6) for boxes in stored.boxes.values() for v in boxes.level.unique()})
    ranges = [tuple(levels)]
    if settings.level_ranges:
        ranges = [tuple(levels[i:j]) for i in range(len(levels)) for j in range(i + 1, len(levels) + 1)]
    for values in itertools.product(
        settings.nms_iou, settings.nms_across_classes, settings.score_quantile, settings.top_k, ranges
    ):
        yield _Variant(*values)


def _halves(stored: _Stored, variant: _Variant) -> tuple[float, float, float]:
    """mAP@0.5 in all scenes, in those at even positions, and in those at odd positions."""
    scores = torch.cat([boxes.score for boxes in stored.boxes.values()])
    floor = (
        float(scores.quantile(variant.score_quantile)) if variant.score_quantile and len(scores) < 16_000_000 else -1.0
    )
    values = InferenceValues(
        nms_iou=variant.nms_iou, nms_across_classes=variant.nms_across_classes, score_threshold=max(floor, -1.0)
    )
    found: dict[str, dict[str, Found]] = {name: {} for name in stored.classes}
    for scene, boxes in stored.boxes.items():
        final = finish(_thinned(boxes, variant), values)
        for owner in final.owner.unique().tolist():
            mine = final.pick((final.owner == owner).nonzero()[:, 0])
            found[stored.classes[owner]][scene] = Found(mine.box.double().numpy(), mine.score.double().numpy())
    scenes = list(stored.boxes)
    return (_map50(found, stored, scenes), _map50(found, stored, scenes[::2]), _map50(found, stored, scenes[1::2]))


def _thinned(boxes: Boxes, variant: _Variant) -> Boxes:
    """The boxes of the variant's levels, at most `top_k` per class, view and level."""
    on = torch.isin(boxes.level, torch.tensor(variant.levels, dtype=boxes.level.dtype))
    boxes = boxes.pick(on.nonzero()[:, 0])
    order = boxes.score.argsort(descending=True, stable=True)
    group = np.stack([boxes.owner.numpy(), boxes.view.numpy(), boxes.level.numpy()], 1)[order.numpy()]
    _, which = np.unique(group, axis=0, return_inverse=True)
    place = np.zeros(len(which), int)
    for each in np.unique(which):
        mine = np.flatnonzero(which == each)
        place[mine] = np.arange(len(mine))
    return boxes.pick(order[torch.from_numpy(place < variant.top_k)])


def _map50(found: Mapping[str, Mapping[str, Found]], stored: _Stored, scenes: Sequence[str]) -> float:
    kept = set(scenes)
    values = []
    for name in stored.classes:
        truth = {scene: each for scene, each in stored.truth[name].items() if scene in kept}
        judged = judge({scene: each for scene, each in found[name].items() if scene in kept}, truth)
        if judged.n_positive:
            values.append(average_precision(judged.right, judged.n_positive))
    return float(np.mean(values)) if values else float("nan")


def _crossed(halves: Sequence[tuple[float, float, float]]) -> float:
    """Mean over the halves of the mAP of the other half's best variant; nan if one half has no object."""
    table = np.array(halves)
    if np.isnan(table[:, 1:]).any():  # whether a half has objects does not depend on the variant
        return float("nan")
    return float((table[table[:, 1].argmax(), 2] + table[table[:, 2].argmax(), 1]) / 2)


def _worth_title(chosen: Sequence[Mapping[str, object]]) -> str:
    """The table's title, with the reason for a cell without a number."""
    title = "Gain of choosing a variant"
    if any(row["chosen on the other half"] is None for row in chosen):
        title += " (–: one half of the scenes has no object; evaluate more scenes)"
    return title


def _row(trial: int, repeat: int, variant: _Variant, score: float) -> dict[str, object]:
    return {
        "trial": trial,
        "repeat": repeat,
        **vars(variant),
        "levels": " ".join(f"{v:g}" for v in variant.levels),
        "map50": score,
    }


def _summary(rows: Sequence[Mapping[str, object]]) -> pa.Table:
    groups: dict[tuple[object, ...], list[float]] = {}
    keys = ("nms_iou", "nms_across_classes", "score_quantile", "top_k", "levels")
    for row in rows:
        groups.setdefault(tuple(row[key] for key in keys), []).append(float(str(row["map50"])))
    listed = []
    for values, scores in groups.items():
        mean, error = mean_and_error(scores)
        listed.append({**dict(zip(keys, values, strict=True)), "n": len(scores), "map50": mean, "map50.se": error})
    return pa.Table.from_pylist(sorted(listed, key=lambda row: -float(str(row["map50"])))[:_LISTED])
