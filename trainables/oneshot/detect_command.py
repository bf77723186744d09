"""`raybayes detect`: the detections of a trained detector in pictures, given pictures of classes; also from Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from pydantic import BaseModel, ConfigDict, Field

from raybayes.contract import Findings, Finished
from raybayes.errors import DataError, SpecError
from trainables.oneshot.config import Config
from trainables.oneshot.data.annotations import Complaints, build_scenes
from trainables.oneshot.data.formats import read_csv
from trainables.oneshot.data.records import Picture, Scene
from trainables.oneshot.detection.detector import Detector
from trainables.oneshot.detection.drawing import Shown, draw
from trainables.oneshot.detection.finder import Boxes, Finder
from trainables.oneshot.evaluation.report import ALL_CLASSES
from trainables.oneshot.evaluation.scoring import Found, Truth, score_classes


class DetectSettings(BaseModel):
    """The options of detection; their defaults are the run's values."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    class_image: tuple[str, ...] = Field((), description="Picture of a class; give one or more")
    class_name: tuple[str, ...] = Field(
        (), description="Its name, in the same order; else the file's. Pictures with one name are one class"
    )
    score_threshold: float | None = Field(
        None, ge=-1, le=1, description="Lowest shown score; else the run's calibrated one, if it has one"
    )
    most: int = Field(30, ge=1, le=100_000, description="Number of shown detections per scene, the best ones")
    nms_iou: float | None = Field(None, ge=0, le=1, description="Overlap above which the worse box is dropped")
    across_classes: bool | None = Field(None, description="Also drop boxes that better boxes of other classes overlap")
    eval_scale: int | None = Field(None, ge=16, le=20_000, description="Long side of a scene at level 1, pixels")
    levels: tuple[float, ...] = Field((), description="Scale of the image pyramid; give several")
    views: str | None = Field(None, description="none, horflip, rotation90 or horflip_rotation90 of class images")
    skip_bad: bool = Field(False, description="Leave out scenes that cannot be decoded; else refuse them")
    truth: str | None = Field(None, description="CSV table of the boxes in these scenes, to compute the AP")
    trial: int | None = Field(None, ge=0, description="Number of the trial of a sweep; else the best")


def load_finder(state: Mapping[str, Any], settings: DetectSettings, device: torch.device) -> Finder:
    """The detector of a stored state (`raybayes.open_sweep(path).state()`); call its `learn` next."""
    values = dict(state["config"])
    values["model"] = {
        **values["model"],
        "weights": "random",
        "transform_weights": "",
    }  # the state contains all weights
    values["inference"] = {**values["inference"], **_changes(settings)}
    config = Config.model_validate(values)
    detector = Detector(config, torch.Generator().manual_seed(0))
    detector.load_state_dict(state["detector"])
    return Finder(detector.to(device), config, settings.eval_scale or int(state["long_side"]), device)


def _changes(settings: DetectSettings) -> dict[str, Any]:
    given = {
        "nms_iou": settings.nms_iou,
        "nms_across_classes": settings.across_classes,
        "levels": settings.levels or None,
        "class_views": settings.views,
    }
    return {name: value for name, value in given.items() if value is not None} | {"class_images": 100}


def detect(finished: Finished, inputs: Sequence[str], settings: DetectSettings) -> Findings:
    """Detections in every scene: a table, a picture per scene, and AP if the truth is given.

    Raises:
        SpecError: no scene or no class image is given, or their names do not match.
        DataError: a picture cannot be decoded, or is too small.
    """
    if not inputs:
        raise SpecError("detect needs a scene: raybayes detect SCENE... --class-image FILE --run PATH.")
    classes = _classes(settings)
    state = finished.state(settings.trial)
    finder = load_finder(state, settings, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    finder.learn(classes)
    thresholds = _thresholds(state, tuple(classes), settings)
    scenes = _scenes(inputs, settings.skip_bad)
    every = [finder.find(picture) for picture in scenes.values()]
    found = [_best(boxes, thresholds, settings.most) for boxes in every]
    rows = [row for name, boxes in zip(scenes, found, strict=True) for row in _rows(name, boxes, finder.classes)]
    tables = {
        "detections": pa.Table.from_pylist([{k: v for k, v in r.items() if k != "corners"} for r in rows], _SHORT)
    }
    truth = _truth(settings.truth, scenes) if settings.truth else {}
    if truth:
        tables["average precision"] = _precision(scenes, every, finder.classes, truth)
    pictures = {name: images[0].open() for name, images in classes.items()}
    figures = {}
    for (name, picture), boxes in zip(scenes.items(), found, strict=True):
        shown = [
            Shown(r["class"], r["score"], [r[c] for c in _EDGES], r["corners"])
            for r in _rows(name, boxes, finder.classes)
        ]
        objects = truth[name].boxes.tolist() if name in truth else []
        figures[name] = draw(picture.open(), shown, pictures, objects)
    return Findings(tables, figures, pa.Table.from_pylist(rows, _LONG))


_EDGES = ("x0", "y0", "x1", "y1")
_SHORT = pa.schema(
    [("scene", pa.string()), ("class", pa.string()), ("score", pa.float32()), *((n, pa.float32()) for n in _EDGES)]
)
_LONG = _SHORT.append(pa.field("corners", pa.list_(pa.float32(), 8)))


def _classes(settings: DetectSettings) -> dict[str, list[Picture]]:
    if not settings.class_image:
        raise SpecError("detect needs a picture of each class: --class-image FILE, one or more times.")
    if settings.class_name and len(settings.class_name) != len(settings.class_image):
        counts = f"{len(settings.class_name)} --class-name for {len(settings.class_image)} --class-image"
        raise SpecError(f"found {counts}; give one name per picture, or none.")
    names = settings.class_name or [Path(file).stem for file in settings.class_image]
    classes: dict[str, list[Picture]] = {}
    for name, file in zip(names, settings.class_image, strict=True):
        classes.setdefault(name, []).append(_picture(file, "class image"))
    return classes


def _scenes(inputs: Sequence[str], skip_bad: bool) -> dict[str, Picture]:
    """Pictures by the name of their file; a repeated name gets a number."""
    scenes: dict[str, Picture] = {}
    for file in inputs:
        picture = _picture(file, "scene")
        try:
            picture.open()
        except DataError as error:
            if not skip_bad:
                raise DataError(
                    f"{str(error).partition('; replace')[0]}; replace it, or give --skip-bad true."
                ) from None
            continue
        name = Path(file).stem
        scenes[name if name not in scenes else f"{name}-{len(scenes) + 1}"] = picture
    if not scenes:
        raise DataError(f"none of the {len(inputs)} scenes can be decoded; give JPEG or PNG files.")
    return scenes


def _picture(file: str, what: str) -> Picture:
    path = Path(file).expanduser()
    if not path.is_file():
        raise DataError(f"{what}: the file {path} does not exist; give the path of a JPEG or PNG file.")
    return Picture(str(path), str(path))


def _thresholds(state: Mapping[str, Any], classes: Sequence[str], settings: DetectSettings) -> torch.Tensor:
    """(K,) lowest score per class: the given one, else its own calibrated one, else the one that all classes share."""
    if settings.score_threshold is not None:
        return torch.full((len(classes),), settings.score_threshold)
    known = {name: score for name, score in state["thresholds"].items() if score is not None}
    return torch.tensor([known.get(name, known.get(ALL_CLASSES, -1.0)) for name in classes])


def _best(found: Boxes, thresholds: torch.Tensor, most: int) -> Boxes:
    return found.pick((found.score >= thresholds[found.owner]).nonzero()[:most, 0])


def _rows(scene: str, boxes: Boxes, classes: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {
            "scene": scene, "class": classes[int(boxes.owner[i])], "score": float(boxes.score[i]),
            **dict(zip(_EDGES, boxes.box[i].tolist(), strict=True)), "corners": boxes.corners[i].tolist(),
        }
        for i in range(len(boxes))
    ]  # fmt: skip


def _truth(table: str, scenes: Mapping[str, Picture]) -> dict[str, Scene]:
    """The boxes of a CSV table, for these scenes."""
    path = Path(table).expanduser()
    if not path.is_file():
        raise DataError(
            f"truth: the file {path} does not exist; give a CSV table with imageid, classid, lx, ty, rx, by."
        )
    folders = {Path(str(picture.source)).parent for picture in scenes.values()}
    complaints = Complaints(skip=False)
    listing = read_csv(path, folders.pop() if len(folders) == 1 else Path())
    built = build_scenes(listing, complaints)
    complaints.settle(str(path))
    found = {scene.id: scene for part in built.values() for scene in part if scene.id in scenes}
    if not found:
        raise DataError(
            f"{path}: no imageid is one of the scenes {', '.join(scenes)}; use the file's name without its suffix."
        )
    return found


def _precision(
    scenes: Mapping[str, Picture], found: Sequence[Boxes], classes: Sequence[str], truth: Mapping[str, Scene]
) -> pa.Table:
    """AP of each class, by all boxes regardless of their score."""
    detections: dict[str, dict[str, Found]] = {name: {} for name in classes}
    objects: dict[str, dict[str, Truth]] = {name: {} for name in classes}
    for scene, boxes in zip(scenes, found, strict=True):
        if scene not in truth:
            continue
        for k, name in enumerate(classes):
            mine = boxes.pick((boxes.owner == k).nonzero()[:, 0])
            detections[name][scene] = Found(mine.box.double().numpy(), mine.score.double().numpy())
            wanted = [i for i, label in enumerate(truth[scene].labels) if label == name]
            objects[name][scene] = Truth(
                truth[scene].boxes[wanted].double().numpy(), truth[scene].difficult[wanted].numpy()
            )
    scored = score_classes(detections, objects)
    return pa.Table.from_pylist(
        [
            {"class": name, "objects": s.n_positive, "AP50": s.ap50, "AP50-95": s.ap50_95, "recall50": s.recall}
            for name, s in scored.items()
        ]
    )
