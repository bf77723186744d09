"""The training function of the one-shot detector; reads from top to bottom."""

from __future__ import annotations

import io
from dataclasses import asdict
from typing import Any

import pyarrow as pa
import torch
from PIL import Image
from torch import Tensor

from raybayes.contract import Context
from trainables.oneshot.config import Config, max_steps
from trainables.oneshot.data.draws import Draws
from trainables.oneshot.data.loaders import choose
from trainables.oneshot.data.records import OneShotData, Picture
from trainables.oneshot.detection.detector import Detector
from trainables.oneshot.detection.finder import Finder
from trainables.oneshot.detection.scales import eval_scale
from trainables.oneshot.evaluation.evaluate import (
    Evaluation,
    box_table,
    check_storage,
    evaluate,
    judgement,
    truth_table,
)
from trainables.oneshot.geometry.boxes import encode
from trainables.oneshot.geometry.targets import POSITIVE, assign
from trainables.oneshot.model.head import Matches, anchors, boxes_of
from trainables.oneshot.model.losses import Margins, box_loss, class_loss
from trainables.oneshot.training.batches import Batch, Batches
from trainables.oneshot.training.mining import Mined, mine

_PICTURE_SIDE = 480  # pixels; scenes that the report draws are stored that large


def train(config: Config, ctx: Context) -> None:
    """Train, and judge before the first update and after every share of them.

    The first report is the untrained model. W workers draw batches of their own and average their gradients; they share
    the scenes that are judged.
    """
    data = choose(config, ctx.data)
    for note in data.notes:
        ctx.log.warning(note)
    scale = eval_scale(data.train or data.evaluate, config.model.grid_size, config.inference.eval_scale)
    ctx.log.info(scale.explanation)
    check_storage(config, data, scale.long_side)
    detector = Detector(config, ctx.rng("weights"))
    detector.freeze(config)
    model = ctx.wrap(detector) if config.steps else detector.to(ctx.device)
    optimiser = build_optimiser(detector, config) if config.steps else None
    batches = Batches(config, data, {s.id: scale.factor(s.width, s.height) for s in data.train})
    finder = Finder(detector, config, scale.long_side, ctx.device)
    update, reported, skipped = 0, 0, 0
    mined: list[Mined] = []
    thresholds: dict[str, float | None] = {}

    if (saved := ctx.resume()) is not None:
        detector.load_state_dict(saved["detector"])
        if optimiser is not None:
            optimiser.load_state_dict(saved["optimiser"])
        update, reported, skipped = saved["update"], saved["reported"], saved["skipped"]
        mined = [Mined(**{**each, "window": tuple(each["window"])}) for each in saved["mined"]]

    def state() -> dict[str, Any]:
        return {
            "config": config.model_dump(mode="json"),
            "long_side": scale.long_side,
            "detector": detector.state_dict(),
            "optimiser": optimiser.state_dict() if optimiser is not None else None,
            "update": update,
            "reported": reported,
            "skipped": skipped,
            "thresholds": thresholds,
            "mined": [asdict(each) for each in mined],
        }

    reports = max_steps(config) - 1
    while reported <= reports:
        totals = torch.zeros(3, dtype=torch.float64)  # loss, positives, updates
        while reports and update < reported * config.steps // reports:
            assert optimiser is not None
            if config.mining.period and update and update % config.mining.period == 0:
                own = data.train[ctx.rank :: ctx.world_size]
                draws = Draws(ctx.rng(f"mining/{update}/{ctx.rank}"))
                parts = ctx.gather(mine(detector, config, data, own, batches.scales, draws, ctx.device))
                mined = [each for part in parts for each in part]
            batch = batches.draw(ctx.rng(f"batch/{update}/{ctx.rank}"), mined)
            set_step_sizes(optimiser, config, update)
            detector.start_training(config)
            matches = model(batch.scenes.to(ctx.device), [image.to(ctx.device) for image in batch.class_images])
            loss, positives = objective(matches, batch, config, detector, update)
            optimiser.zero_grad()
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(detector.parameters(), config.optim.max_grad_norm)
            if torch.isfinite(norm):  # gradients are averaged, so all workers agree
                optimiser.step()
                totals += torch.tensor([loss.item(), positives, 1.0], dtype=torch.float64)
            else:
                skipped += 1
            update += 1
        last = reported == reports
        evaluation = evaluate(
            finder, config, data, ctx.rank, ctx.world_size, ctx.gather, ctx.log, last and config.evaluation.raw
        )
        metrics, classes = judgement(evaluation, data, config)
        thresholds = dict(zip(classes["class"].to_pylist(), classes["threshold"].to_pylist(), strict=True))
        metrics |= {"updates": float(update), "skipped_updates": float(skipped)}
        if reported:
            mean = ctx.all_reduce(totals.to(ctx.device, torch.float32)).cpu()
            metrics |= {
                "loss": float(mean[0] / mean[2].clamp(min=1)),
                "positives": float(mean[1] / mean[2].clamp(min=1)),
            }
        reported += 1
        if last and ctx.rank == 0:
            ctx.save_table("classes", classes)
            keep(evaluation, data, config, ctx)
        ctx.report(metrics, state)


def build_optimiser(detector: Detector, config: Config) -> torch.optim.Optimizer:
    """Two groups of parameters, backbone and TransformNet, each with its step size."""
    values = config.optim
    groups = [
        {"params": [p for p in part.parameters() if p.requires_grad], "lr": lr, "base_lr": lr}
        for part, lr in ((detector.backbone, values.backbone_lr), (detector.head, values.transform_lr))
    ]
    groups = [group for group in groups if group["params"]]
    if values.name == "adam":
        return torch.optim.Adam(groups, weight_decay=values.weight_decay)
    return torch.optim.SGD(groups, lr=values.backbone_lr, momentum=values.momentum, weight_decay=values.weight_decay)


def set_step_sizes(optimiser: torch.optim.Optimizer, config: Config, update: int) -> None:
    """Step sizes fall by `decay` at every milestone."""
    passed = sum(update >= share * config.steps for share in config.optim.milestones)
    for group in optimiser.param_groups:
        group["lr"] = group["base_lr"] * config.optim.decay**passed


def objective(matches: Matches, batch: Batch, config: Config, detector: Detector, update: int) -> tuple[Tensor, float]:
    """The loss of a batch, and how many positives recognition had."""
    targets, values = config.targets, config.loss
    grid, (h, w) = detector.geometry.grid, matches.scores.shape[2:]
    aspect = detector.aspects(batch.class_images).to(matches.scores)
    frames = anchors(h, w, grid, aspect)
    boxes = boxes_of(matches.maps, grid)
    late = update >= targets.remap_after * config.steps
    remap = (
        (targets.remap_positive_iou, targets.remap_negative_iou)
        if late
        else (targets.positive_iou, targets.negative_iou)
    )
    labels, codes, wanted = [], [], []
    for b, row in enumerate(batch.objects):
        for k, objects in enumerate(row):
            first = assign(frames[k], objects, targets.positive_iou, targets.negative_iou)
            labels.append(assign(boxes[b, k].detach(), objects, *remap).label if targets.remap else first.label)
            placed = first.label == POSITIVE
            if placed.any():
                codes.append(encode(boxes[b, k][placed], frames[k][placed]))
                wanted.append(encode(objects.boxes.to(boxes)[first.box[placed]], frames[k][placed]))
    label = torch.stack(labels).view(*matches.scores.shape[:2], -1)
    scores = matches.scores.flatten(2)
    assert matches.detached is not None
    negatives = scores if values.transform_on_negatives else matches.detached.flatten(2)
    margins = Margins(
        values.negative_margin + values.margin_gap, values.negative_margin, values.ranked_ratio, values.hard_ratio,
        values.negative_weight,
    )  # fmt: skip
    loss = class_loss(values.objective, scores, negatives, label, margins)
    if codes:
        loss = loss + values.box_weight * box_loss(torch.cat(codes), torch.cat(wanted))
    # Every trainable parameter takes part in every update, which workers that average gradients rely on.
    return loss + 0.0 * (scores.sum() + matches.maps.sum()), float((label == POSITIVE).sum())


def keep(evaluation: Evaluation, data: OneShotData, config: Config, ctx: Context) -> None:
    """Store detections, objects, raw boxes if asked, and the pictures to be drawn."""
    ctx.save_table("detections", box_table(evaluation.scenes, evaluation.final, evaluation.classes, corners=True))
    ctx.save_table("objects", truth_table(evaluation.scenes, evaluation.classes, data.unseen))
    if config.evaluation.raw:
        ctx.save_table("raw", box_table(evaluation.scenes, evaluation.raw, evaluation.classes, corners=False))
    if config.evaluation.pictures:
        ctx.save_table("pictures", pictures(evaluation, data, config.evaluation.pictures))


def pictures(evaluation: Evaluation, data: OneShotData, count: int) -> pa.Table:
    """The first scenes, and the class images of their objects, as small JPEG files."""
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
