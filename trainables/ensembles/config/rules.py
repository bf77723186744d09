"""Combinations of values that cannot run, each with the sentence that says so before any training is paid for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainables.ensembles.config.values import Config

FUSED = ("mlp", "cnn", "lenet")  # architectures of which several networks can be trained at once
OWN_DROPOUT = ("mlp", "cnn", "lenet", "vgg16bn", "wrn28x10")  # architectures whose authors put dropout somewhere
POST_HOC = ("swag", "swa", "mc_dropout", "laplace", "last_layer_laplace")  # draw their members after the training
NO_DROPOUT = ("resnet50",)
ANY_SIZE = ("mlp", "cnn", "resnet50")  # architectures for images larger than 32 pixels
OWN_LOSS = ("vi", "batch_ensemble", "packed", "mimo")  # methods whose step is more than the loss of the network
OWN_GRADIENT = ("csgld",)  # methods that change the gradient before the step
INVERSE = ("laplace", "last_layer_laplace")  # methods that invert a curvature, which makes rounding errors large


def problem(config: Config) -> str | None:
    """Why a configuration cannot run, or None."""
    for check in (_data, _budget, _dropout, _trajectory, _swag, _posterior, _share, _pretrained, _engine):
        if sentence := check(config):
            return sentence
    return None


def _data(config: Config) -> str | None:
    if 0 < config.test_images < 4:
        return f"test_images = {config.test_images}, but cross-validation needs at least 4; raise it, or use 0 (all)."
    if config.foreign.split("-")[0] == config.dataset.split("-")[0]:
        return f"foreign = {config.foreign} is of the kind that is trained on; choose images of another kind, or none."
    if config.arch == "vgg16bn" and config.dataset.startswith("mnist"):
        return "arch = vgg16bn halves its input five times and needs 32 pixels, MNIST has 28; choose another arch."
    if config.dataset == "imagenet" and config.arch not in ANY_SIZE:
        return (
            f"arch = {config.arch} is made for 28 or 32 pixels, and pictures of imagenet have 224; choose one of"
            f" {', '.join(ANY_SIZE)}."
        )
    if config.dataset == "imagenet" and config.foreign != "none":
        return f"foreign = {config.foreign} has 28 or 32 pixels, and pictures of imagenet have 224; set foreign = none."
    if config.tta and not config.augment:
        return (
            "tta = true repeats the training augmentation at test time, but augment = false trains without one,"
            " and a network that never saw it fails on it; set augment = true or tta = false."
        )
    return None


def _share(config: Config) -> str | None:
    if config.share == "members":
        return None
    if config.method in OWN_LOSS:
        return f"share = images is not possible with method = {config.method}; set share = members."
    if config.engine not in ("sequential", "auto"):
        return f"share = images trains one member at a time, and engine = {config.engine} several; change one of them."
    if config.reuse_pretrained:
        return "share = images does not store its trainings; set reuse_pretrained = false or share = members."
    return None


def _engine(config: Config) -> str | None:
    if config.spread > 1 and config.method != "deep_ensemble":
        return (
            f"spread = {config.spread:g} makes the members of a deep_ensemble differ, found method = {config.method};"
            " set spread = 1."
        )
    if config.engine in ("sequential", "auto") or side_by_side(config):
        return None
    if config.method != "deep_ensemble":
        return (
            f"engine = {config.engine} trains the members of a deep_ensemble at once, and method = {config.method} has"
            " one training run; set engine = sequential."
        )
    if config.arch not in FUSED:
        return (
            f"engine = {config.engine} gains nothing for arch = {config.arch}, which fills a device alone; set engine ="
            f" sequential, or choose one of {', '.join(FUSED)}."
        )
    if config.dataset == "imagenet":
        return f"engine = {config.engine} needs decoded images, and imagenet stays in files; set engine = sequential."
    return (
        f"engine = {config.engine} trains members without dropout, and dropout.always is set; set engine = sequential,"
        " or dropout.always = false."
    )


def _pretrained(config: Config) -> str | None:
    if config.reuse_pretrained and config.method not in POST_HOC:
        return (
            f"reuse_pretrained = true is for methods that draw members after the training ({', '.join(POST_HOC)}),"
            f" found method = {config.method}; set reuse_pretrained = false."
        )
    return None


def side_by_side(config: Config) -> bool:
    """Whether several members of this configuration can be trained at once."""
    return config.method == "deep_ensemble" and stackable(config)


def stackable(config: Config) -> bool:
    """Whether runs of this configuration can be trained at once with others, which may be those of other trials."""
    if config.arch not in FUSED or config.uses_dropout or config.method in (*OWN_LOSS, *OWN_GRADIENT, *INVERSE):
        return False
    return config.share == "members" and config.dataset != "imagenet" and not config.reuse_pretrained


def _budget(config: Config) -> str | None:
    if config.budget_epochs == 0:
        return None
    if config.method not in ("deep_ensemble", "snapshot"):
        return (
            f"budget_epochs = {config.budget_epochs} is shared by deep_ensemble and snapshot alone, found method ="
            f" {config.method}; set budget_epochs = 0 or choose one of the two."
        )
    shares = config.members + (config.sse.skip_cycles if config.method == "snapshot" else 0)
    if config.budget_epochs < shares:
        return (
            f"budget_epochs = {config.budget_epochs} is less than an epoch for each of {shares} trainings; raise it, or"
            " lower members."
        )
    return None


def _dropout(config: Config) -> str | None:
    if not config.uses_dropout:
        return None
    if config.arch in NO_DROPOUT:
        return f"arch = {config.arch} has no place for dropout; choose another arch, or a method without dropout."
    if config.dropout.placement == "own" and config.arch not in OWN_DROPOUT:
        return (
            f"arch = {config.arch} has no dropout of its own; set dropout.placement = every,"
            f" or choose one of {', '.join(OWN_DROPOUT)}."
        )
    return None


def _trajectory(config: Config) -> str | None:
    if config.method == "checkpoint" and (config.members - 1) * config.checkpoint.every >= config.epochs:
        return (
            f"{config.members} members, {config.checkpoint.every} epoch(s) apart, do not fit into epochs ="
            f" {config.epochs}; lower members or checkpoint.every, or raise epochs."
        )
    if config.method == "csgld":
        group = config.csgld
        if not group.samples <= group.noise_epochs <= group.cycle_epochs:
            return (
                f"csgld needs samples <= noise_epochs <= cycle_epochs, found {group.samples}, {group.noise_epochs},"
                f" {group.cycle_epochs}; members are taken while noise is added, and noise inside a cycle."
            )
    if config.method == "fge":
        if config.fge.cycle_epochs % 2:
            return f"fge.cycle_epochs = {config.fge.cycle_epochs}; members are taken in mid-cycle, so make it even."
        if round(config.fge.pretrain * config.epochs) < 1:
            return f"fge.pretrain = {config.fge.pretrain:g} of {config.epochs} epochs is no epoch; raise one of them."
    return None


def _swag(config: Config) -> str | None:
    if config.method not in ("swag", "swa"):
        return None
    group = config.swag
    before = round(group.start * group.epochs)
    if not 1 <= before < group.epochs:
        return f"swag.start = {group.start:g} of {group.epochs} epochs leaves a stage empty; change one of the two."
    if config.method == "swa":
        return None
    collected = (group.epochs - before) * group.collect
    if not group.diag_only and group.rank > collected:
        return (
            f"swag.rank = {group.rank}, but only {collected} weights are collected ({group.epochs - before} epochs,"
            f" {group.collect} each); lower swag.rank, raise swag.epochs or swag.collect, or set swag.diag_only."
        )
    if config.members % group.runs:
        return f"{config.members} members cannot be shared equally by swag.runs = {group.runs}; use a divisor."
    return None


def _posterior(config: Config) -> str | None:
    if config.method in ("vi", "laplace") and config.wd == 0:
        return f"method = {config.method} takes its prior from the weight decay, and wd = 0 is no prior; raise wd."
    if config.method == "last_layer_laplace" and config.arch == "resnet50":
        return (
            "arch = resnet50 has 20,490 weights in its last layer, too many for their full curvature; use"
            " method = laplace with laplace.subset = last."
        )
    if config.method == "vi" and config.vi.warmup_epochs > config.vi.epochs:
        return (
            f"vi.warmup_epochs = {config.vi.warmup_epochs} is longer than vi.epochs = {config.vi.epochs};"
            " shorten the first."
        )
    return None
