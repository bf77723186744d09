"""Combinations of values that cannot run, each with its error message; they are refused before any training."""

from __future__ import annotations

from trainables.ensembles.config.values import Values

FUSED = ("mlp", "cnn", "lenet")  # architectures whose networks can be trained several at once
OWN_DROPOUT = ("mlp", "cnn", "lenet", "vgg16bn", "wrn28x10")  # architectures whose authors use dropout
POST_HOC = ("swag", "swa", "mc_dropout", "laplace", "last_layer_laplace")  # draw their members after the training
NO_DROPOUT = ("resnet50",)
ANY_SIZE = ("mlp", "cnn", "resnet50")  # architectures for images larger than 32 pixels
OWN_LOSS = ("vi", "batch_ensemble", "packed", "mimo")  # methods with a loss or a network of their own
OWN_GRADIENT = ("csgld",)  # methods that change the gradient before the step
INVERSE = ("laplace", "last_layer_laplace")  # methods that invert a curvature, which makes rounding errors large


def problem(config: Values) -> str | None:
    """The reason why a configuration cannot run, as an error message; None if it can."""
    for check in (_data, _budget, _dropout, _trajectory, _swag, _posterior, _share, _pretrained, _engine):
        if sentence := check(config):
            return sentence
    return None


def _data(config: Values) -> str | None:
    if 0 < config.test_images < 4:
        return f"test_images = {config.test_images}, but cross-validation needs at least 4; raise it, or use 0 (all)."
    if config.foreign.split("-")[0] == config.dataset.split("-")[0]:
        return (
            f"foreign = {config.foreign} has the same kind of images as dataset = {config.dataset}; choose another"
            " kind, or none."
        )
    if config.arch == "vgg16bn" and config.dataset.startswith("mnist"):
        return "arch = vgg16bn halves its input five times and needs 32 pixels, MNIST has 28; choose another arch."
    if config.dataset == "imagenet" and config.arch not in ANY_SIZE:
        return (
            f"arch = {config.arch} takes images of 28 or 32 pixels, and those of imagenet have 224; choose one of"
            f" {', '.join(ANY_SIZE)}."
        )
    if config.dataset == "imagenet" and config.foreign != "none":
        return (
            f"foreign = {config.foreign} has images of 28 or 32 pixels, and those of imagenet have 224; set"
            " foreign = none."
        )
    if config.tta and not config.augment:
        return (
            "tta = true repeats the training augmentation at test time, but augment = false trains without it, and the"
            " network would fail on augmented images; set augment = true or tta = false."
        )
    return None


def _share(config: Values) -> str | None:
    if config.share == "members":
        return None
    if config.method in OWN_LOSS:
        return f"share = images is not possible with method = {config.method}; set share = members."
    if config.engine not in ("sequential", "auto"):
        return f"share = images trains one member at a time, but engine = {config.engine} several; change one of them."
    if config.reuse_pretrained:
        return "share = images cannot store its training for reuse; set reuse_pretrained = false or share = members."
    return None


def _engine(config: Values) -> str | None:
    if config.spread > 1 and config.method != "deep_ensemble":
        return (
            f"spread = {config.spread:g} applies to the members of a deep_ensemble, but method = {config.method}; set"
            " spread = 1."
        )
    if config.engine in ("sequential", "auto") or side_by_side(config):
        return None
    if config.method != "deep_ensemble":
        return (
            f"engine = {config.engine} trains the members of a deep_ensemble at once, but method = {config.method} has"
            " one training run; set engine = sequential."
        )
    if config.arch not in FUSED:
        return (
            f"engine = {config.engine} does not support arch = {config.arch}, one network of which fills a device; set"
            f" engine = sequential, or choose one of {', '.join(FUSED)}."
        )
    if config.dataset == "imagenet":
        return f"engine = {config.engine} needs decoded images, but imagenet stays in files; set engine = sequential."
    return (
        f"engine = {config.engine} cannot train with dropout, but dropout.always = true; set engine = sequential, or"
        " dropout.always = false."
    )


def _pretrained(config: Values) -> str | None:
    if config.reuse_pretrained and config.method not in POST_HOC:
        return (
            f"reuse_pretrained = true works for methods that draw members after the training ({', '.join(POST_HOC)}),"
            f" found method = {config.method}; set reuse_pretrained = false."
        )
    return None


def side_by_side(config: Values) -> bool:
    """Whether the members of this configuration can be trained several at once."""
    return config.method == "deep_ensemble" and stackable(config)


def stackable(config: Values) -> bool:
    """Whether runs of this configuration can be trained at the same time as others, also those of other trials."""
    if config.arch not in FUSED or config.uses_dropout or config.method in (*OWN_LOSS, *OWN_GRADIENT, *INVERSE):
        return False
    return config.share == "members" and config.dataset != "imagenet" and not config.reuse_pretrained


def _budget(config: Values) -> str | None:
    if config.budget_epochs == 0:
        return None
    if config.method not in ("deep_ensemble", "snapshot"):
        return (
            f"budget_epochs = {config.budget_epochs} works only with deep_ensemble and snapshot, found method ="
            f" {config.method}; set budget_epochs = 0 or choose one of the two."
        )
    shares = config.members + (config.sse.skip_cycles if config.method == "snapshot" else 0)
    if config.budget_epochs < shares:
        return (
            f"budget_epochs = {config.budget_epochs} is less than one epoch for each of {shares} trainings; raise it,"
            " or lower members."
        )
    return None


def _dropout(config: Values) -> str | None:
    if not config.uses_dropout:
        return None
    if config.arch in NO_DROPOUT:
        return f"arch = {config.arch} does not support dropout; choose another arch, or a method without dropout."
    if config.dropout.placement == "own" and config.arch not in OWN_DROPOUT:
        return (
            f"arch = {config.arch} has no dropout by its authors; set dropout.placement = every,"
            f" or choose one of {', '.join(OWN_DROPOUT)}."
        )
    return None


def _trajectory(config: Values) -> str | None:
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
                f" {group.cycle_epochs}; members are taken in epochs with noise, which end a cycle."
            )
    if config.method == "fge":
        if config.fge.cycle_epochs % 2:
            return (
                f"fge.cycle_epochs = {config.fge.cycle_epochs} is odd; members are taken in mid-cycle, so make it even."
            )
        if round(config.fge.pretrain * config.epochs) < 1:
            return f"fge.pretrain = {config.fge.pretrain:g} of {config.epochs} epochs rounds to 0; raise one of them."
    return None


def _swag(config: Values) -> str | None:
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
        return f"swag.runs = {group.runs} does not divide members = {config.members}; use a divisor."
    return None


def _posterior(config: Values) -> str | None:
    if config.method in ("vi", "laplace") and config.wd == 0:
        return f"method = {config.method} takes its prior from the weight decay, and wd = 0 gives none; raise wd."
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
