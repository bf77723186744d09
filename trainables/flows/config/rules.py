"""Combinations of values that cannot run; each is refused with one sentence before a trial starts."""

from __future__ import annotations

from raybayes.data import describe, names
from raybayes.errors import DataError
from trainables.flows.config.presets import TOYS
from trainables.flows.config.shapes import data_shape, head_problem, pixels_of, plan, size, trunk_problem
from trainables.flows.config.values import Values


def problem(config: Values) -> str | None:
    """Why a configuration cannot run, or None."""
    for check in (_dataset, _file, _prior, _batch, _labels, _progress, _features, _augmentation, _objective, _model):
        if sentence := check(config):
            return sentence
    return None


def _dataset(config: Values) -> str | None:
    if config.dataset in TOYS or config.dataset.endswith(".parquet"):
        return None
    known = [name for name in names() if describe(name).pixels is not None and describe(name).classes]
    if config.dataset not in known:
        allowed = ", ".join([*TOYS, *known])
        return (
            f"dataset = {config.dataset} is not a labelled image data set; use {allowed}, or the path of a .parquet"
            f" file."
        )
    return None


def _file(config: Values) -> str | None:
    if config.labelled_rows is not None and (config.labels or config.dataset in TOYS):
        return "labelled_rows names the labelled rows of a data set; set labels = 0, or leave labelled_rows unset."
    if config.dataset.endswith(".parquet"):
        return None
    if config.columns or config.ignore:
        return f"columns and ignore choose columns of a Parquet file, which dataset = {config.dataset} is not."
    if config.dataset in TOYS and config.classes not in (None, 2):
        return f"classes = {config.classes} has no effect: {config.dataset} has 2 classes; leave it out."
    return None


def _prior(config: Values) -> str | None:
    if config.prior != "given":
        return "prior_given has no effect unless prior = given." if config.prior_given else None
    given, classes = config.prior_given, _classes(config)
    if classes is not None and len(given) != classes:
        return f"prior_given has {len(given)} values; there are {classes} classes, each needs one."
    if len(given) < 2 or min(given) <= 0 or abs(sum(given) - 1) > 1e-6:
        return f"prior_given = {', '.join(map(str, given)) or 'nothing'}; it needs positive values that add up to 1."
    return None


def _batch(config: Values) -> str | None:
    if config.labelled_share < 1 and config.unlabelled < 1:
        return (
            f"batch = {config.batch} with labelled_share = {config.labelled_share:g} leaves no unlabelled examples;"
            f" raise batch, or set labelled_share = 1 to train on labels only."
        )
    if config.class_chunk and config.classes and config.class_chunk > config.classes:
        return (
            f"class_chunk = {config.class_chunk} is above the number of classes ({config.classes}); use 0 for all at"
            f" once."
        )
    return None


def _labels(config: Values) -> str | None:
    classes = _classes(config)
    if classes is None:
        return None
    if classes < 2:
        return f"classes = {classes} is too few; a semi-conditional flow needs 2 or more."
    if config.labels and config.labels < classes:
        return (
            f"labels = {config.labels} is less than one per class ({classes} classes); use {classes} or more,"
            f" or 0 for all."
        )
    return None


def _classes(config: Values) -> int | None:
    if config.classes is not None:
        return config.classes
    if config.dataset in TOYS:
        return 2
    return None if pixels_of(config.dataset) is None else len(describe(config.dataset).classes)


def _progress(config: Values) -> str | None:
    if config.reports > config.steps:
        return f"reports = {config.reports} is above steps = {config.steps}; lower reports, or raise steps."
    if config.warmup >= config.steps:
        return f"warmup = {config.warmup} must be below steps = {config.steps}; lower it."
    return None


def _features(config: Values) -> str | None:
    if config.dataset in TOYS and (config.pca or config.shrink > 1 or config.pad):
        return f"pca, shrink and pad apply to pictures; dataset = {config.dataset} consists of points in the plane."
    if config.pca and (config.shrink > 1 or config.pad):
        return (
            "pca replaces pixels by components, so shrink and pad have no effect; set pca = 0, or leave shrink and pad"
            " unset."
        )
    pixels = pixels_of(config.dataset)
    if pixels is None:
        return None
    if config.pca > (most := pixels.channels * pixels.height * pixels.width):
        return f"pca = {config.pca} is above the {most} pixel values of {config.dataset}; lower it."
    try:
        data_shape(config)
    except DataError as error:
        return str(error)
    return None


def _augmentation(config: Values) -> str | None:
    shape = data_shape(config)
    if shape is None:
        return None
    if len(shape) == 3 and config.input_noise:
        return (
            "input_noise applies to vectors, and this flow sees pictures, which are dequantised; use crop, or set"
            " input_noise = 0."
        )
    if len(shape) == 1 and config.crop:
        return "crop shifts pictures, and this flow sees vectors; use input_noise, or set crop = 0."
    if config.traits.two_views and not (config.input_noise or config.crop):
        return (
            f"objective = {config.objective} compares two augmentations; set input_noise (vectors) or crop (pictures)"
            f" above 0."
        )
    return None


def _objective(config: Values) -> str | None:
    if config.traits.unlabelled and not config.unlabelled:
        return f"objective = {config.objective} needs unlabelled examples; set labelled_share below 1."
    return None


def _model(config: Values) -> str | None:
    shape = data_shape(config)
    return None if shape is None else model_problem(config, shape)


def model_problem(config: Values, shape: tuple[int, ...]) -> str | None:
    """Why the flow does not fit data of this shape, or None; for a user's file, once its shape is known."""
    if sentence := trunk_problem(config.trunk, shape):
        return sentence
    deep = size(plan(config.trunk, shape).deep)
    if config.head.kind == "ode" and deep > 8:
        return f"head.kind = ode takes the exact divergence, which allows at most 8 dimensions; found {deep}; use flow."
    if config.head.kind == "flow":
        return head_problem(config.head.levels, True, deep)
    return None
