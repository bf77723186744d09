"""Combinations of values that cannot run, each with its error message; they are refused before anything starts."""

from __future__ import annotations

from trainables.oneshot.config.values import Values
from trainables.oneshot.model.backbones import BACKBONES


def problem(config: Values) -> str | None:
    """The reason why a configuration cannot run, as an error message; None if it can."""
    for check in (_data, _grid, _weights, _targets, _margins, _patches, _trained, _schedule, _levels):
        if sentence := check(config):
            return sentence
    return None


def _data(config: Values) -> str | None:
    files = config.files
    if files.format is None:
        if config.dataset is None:
            return "dataset = null requires your own files; set files.format, files.annotations and files.images."
        if files.annotations or files.images or files.class_images or files.unseen:
            return "files is set, but files.format is null; set it to csv, voc, yolo or flickr_logos."
        if config.dataset == "shelf-demo" and config.steps:
            return "dataset = shelf-demo has no training scenes; set steps = 0, or train on another data set."
        if config.synth.smallest > config.synth.largest:
            least, most = config.synth.smallest, config.synth.largest
            return f"synth.smallest = {least:g} is above synth.largest = {most:g}; swap them."
        return None
    if config.dataset is not None:
        return f"files.format = {files.format} and dataset = {config.dataset} are two sources; set dataset = null."
    if not files.annotations or not files.images:
        return f"files.format = {files.format} requires files.annotations and files.images; set both paths."
    return None


def _grid(config: Values) -> str | None:
    grid, border = config.model.grid_size, config.model.pool_border
    if grid % 2 == 0:
        return (
            f"model.grid_size = {grid} is even, so anchors would be centred between two cells, beside their objects;"
            f" use {grid - 1} or {grid + 1}."
        )
    if border > (grid - 1) // 4:
        return (
            f"model.pool_border = {border} leaves too little of a grid of {grid} cells; at most {(grid - 1) // 4}, or"
            " raise model.grid_size."
        )
    return None


def _weights(config: Values) -> str | None:
    model = config.model
    if model.weights == "packaged" and model.backbone != "efficientnet_lite0_s16":
        return (
            f"model.weights = packaged works only with efficientnet_lite0_s16, not with {model.backbone}; set"
            " model.weights to the path of a torchvision state dict, or to random."
        )
    if model.transform_weights and model.transform == "identity":
        return "model.transform = identity has no TransformNet; leave model.transform_weights empty."
    blocks = BACKBONES[model.backbone].blocks
    if config.optim.frozen_blocks > blocks:
        return (
            f"optim.frozen_blocks = {config.optim.frozen_blocks}, but {model.backbone} has {blocks} blocks; lower it."
        )
    return None


def _targets(config: Values) -> str | None:
    targets = config.targets
    for low, high in (("negative_iou", "positive_iou"), ("remap_negative_iou", "remap_positive_iou")):
        if getattr(targets, low) >= getattr(targets, high):
            return (
                f"targets.{low} = {getattr(targets, low):g} is not below targets.{high} = {getattr(targets, high):g};"
                " raise the second, so that overlaps between the two are ignored."
            )
    return None


def _margins(config: Values) -> str | None:
    positive = config.loss.negative_margin + config.loss.margin_gap
    if positive > 1:
        return (
            f"loss.negative_margin + loss.margin_gap = {positive:g} is above 1, the highest score; lower one of them."
        )
    return None


def _patches(config: Values) -> str | None:
    for name in ("width", "height"):
        if getattr(config.patch, name) % 16:
            return f"patch.{name} = {getattr(config.patch, name)} is not a multiple of the cell's 16 pixels; round it."
    return None


def _trained(config: Values) -> str | None:
    optim, model = config.optim, config.model
    backbone = optim.train_backbone and optim.frozen_blocks < BACKBONES[model.backbone].blocks
    transform = model.transform != "identity" and not optim.freeze_transform
    if config.steps and not backbone and not transform:
        return "no parameter is trained; set steps = 0, or optim.train_backbone = true, or unfreeze TransformNet."
    return None


def _schedule(config: Values) -> str | None:
    stones = config.optim.milestones
    if any(not 0 < stone < 1 for stone in stones) or list(stones) != sorted(set(stones)):
        return f"optim.milestones = {stones} must be rising shares of the steps, between 0 and 1; sort or correct them."
    return None


def _levels(config: Values) -> str | None:
    levels = config.inference.levels
    if any(not 0.05 <= level <= 20 for level in levels) or len(set(levels)) < len(levels):
        return f"inference.levels = {levels} must be different scales between 0.05 and 20; correct them."
    return None
