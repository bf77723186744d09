"""Search every evaluated scene for every evaluated class; the scenes are divided among the workers."""

from __future__ import annotations

from dataclasses import dataclass

from raybayes.clock import WALL
from raybayes.contract import Context
from raybayes.errors import DataError
from trainables.oneshot.config import Config
from trainables.oneshot.data.records import OneShotData, Scene
from trainables.oneshot.detection.finder import BOX_BYTES, Boxes, Finder, finish, most_boxes


@dataclass(frozen=True)
class Evaluation:
    """The detections in the evaluated scenes.

    Args:
        scenes: the evaluated scenes, in order.
        raw: boxes before suppression, one element per scene; empty if they are not kept.
        final: detections, one element per scene.
        classes: names by the boxes' `owner`.
        head_seconds: seconds of the head per class image and scene, all levels.
    """

    scenes: tuple[Scene, ...]
    raw: tuple[Boxes, ...]
    final: tuple[Boxes, ...]
    classes: tuple[str, ...]
    head_seconds: float


def require_storage(config: Config, data: OneShotData, long_side: int) -> None:
    """Raise DataError if the boxes before suppression, which `evaluation.raw` stores, could be too many."""
    if not config.evaluation.raw:
        return
    scenes = data.evaluate[: config.evaluation.scenes or None]
    used = config.inference.class_images
    images = sum(len(data.class_images[name][:used]) for name in (*data.unseen, *data.seen))
    boxes = most_boxes(config, [(scene.width, scene.height) for scene in scenes], long_side, images)
    if boxes > config.evaluation.most_raw:
        raise DataError(
            f"evaluation.raw = true would store up to {boxes:,} boxes of {len(scenes)} scenes and {images} class images"
            f" before suppression, but evaluation.most_raw = {config.evaluation.most_raw:,}; set evaluation.raw = false"
            " (which disables raybayes rescore), lower inference.top_k or evaluation.scenes, or raise the limit"
            f" ({boxes * BOX_BYTES / 2**30:.1f} GiB are required)."
        )


def evaluate(finder: Finder, config: Config, data: OneShotData, ctx: Context, keep_raw: bool) -> Evaluation:
    """The detections of every evaluated class in every scene, on all workers.

    Args:
        finder: of the trained detector.
        config: of the run.
        data: of the run.
        ctx: the trial's context.
        keep_raw: also keep the boxes before suppression.
    """
    finder.head_seconds, finder.head_calls = 0.0, 0
    names = (*data.unseen, *data.seen)
    finder.learn({name: [image.picture for image in data.class_images[name]] for name in names})
    scenes = data.evaluate[: config.evaluation.scenes or None]
    mine: list[tuple[int, Boxes, Boxes | None]] = []
    began = logged = WALL.elapsed()
    for i in range(ctx.rank, len(scenes), ctx.world_size):
        raw = finder.raw(scenes[i].picture)
        mine.append((i, finish(raw, config.inference), raw if keep_raw else None))
        if WALL.elapsed() - logged > 30:
            logged = WALL.elapsed()
            left = (logged - began) * (len(scenes) - i - 1) / (i + 1)
            ctx.log.info("evaluated %d of %d scenes, about %.0f s left", i + 1, len(scenes), left)
    gathered = ctx.gather((mine, finder.head_seconds, finder.head_calls / max(len(config.levels), 1)))
    every = sorted((each for part, _, _ in gathered for each in part), key=lambda each: each[0])
    final, kept = tuple(boxes for _, boxes, _ in every), tuple(boxes for _, _, boxes in every if boxes is not None)
    seconds = sum(seconds for _, seconds, _ in gathered) / max(sum(calls for _, _, calls in gathered), 1.0)
    return Evaluation(scenes, kept, final, names, seconds)
