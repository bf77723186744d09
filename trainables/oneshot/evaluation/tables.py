"""The stored tables of an evaluation: boxes, objects, and small pictures for the report."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from raybayes.contract import Context
from trainables.oneshot.config import Config
from trainables.oneshot.data.records import OneShotData, Picture, Scene
from trainables.oneshot.detection.finder import Boxes
from trainables.oneshot.evaluation.evaluate import Evaluation

_PICTURE_SIDE = 480  # pixels; stored scenes of the report have at most that long a side
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


def box_table(scenes: Sequence[Scene], found: Sequence[Boxes], classes: Sequence[str], corners: bool) -> pa.Table:
    """One row per box: scene, class, level, view, score, x0, y0, x1, y1 in pixels, and optionally the corners."""
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
    """One row per object of the evaluated classes; scenes without objects have a row without a class."""
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


def store_evaluation(evaluation: Evaluation, data: OneShotData, config: Config, ctx: Context) -> None:
    """Store detections, objects, the raw boxes if configured, and the pictures to draw."""
    ctx.save_table("detections", box_table(evaluation.scenes, evaluation.final, evaluation.classes, corners=True))
    ctx.save_table("objects", truth_table(evaluation.scenes, evaluation.classes, data.unseen))
    if config.evaluation.raw:
        ctx.save_table("raw", box_table(evaluation.scenes, evaluation.raw, evaluation.classes, corners=False))
    if config.evaluation.pictures:
        ctx.save_table("pictures", pictures(evaluation, data, config.evaluation.pictures))


def pictures(evaluation: Evaluation, data: OneShotData, count: int) -> pa.Table:
    """The first scenes, and the class images of their objects, as small JPEG files; one row per picture."""
    drawn = evaluation.scenes[:count]
    shown = sorted({label for scene in drawn for label in scene.labels})
    kinds = [("scene", scene.id, scene.picture) for scene in drawn]
    kinds += [("class", name, data.class_images[name][0].picture) for name in shown]
    rows = [{"kind": kind, "name": name, "jpeg": _small(picture)} for kind, name, picture in kinds]
    return pa.Table.from_pylist(rows, pa.schema([("kind", pa.string()), ("name", pa.string()), ("jpeg", pa.binary())]))


def _small(picture: Picture) -> bytes:
    pixels = picture.open()
    pixels.thumbnail((_PICTURE_SIDE, _PICTURE_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    pixels.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()
