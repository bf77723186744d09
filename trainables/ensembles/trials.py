"""Several trials of a sweep trained at the same time on one device: a step trains the networks of all, as one stack."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import partial
from itertools import islice

from raybayes.contract import Context, Stop
from trainables.ensembles.config.rules import stackable
from trainables.ensembles.config.values import Config
from trainables.ensembles.data import ImageData
from trainables.ensembles.fused import Group
from trainables.ensembles.fused.choice import quickest
from trainables.ensembles.fused.forward import Engine
from trainables.ensembles.plan import plan
from trainables.ensembles.progress import Course
from trainables.ensembles.training import loaded

SHARED = (
    *("dataset", "train_images", "test_images", "validation", "split_seed", "foreign"),  # the images
    *("arch", "batch", "augment", "engine"),  # a step
)
NETWORKS = 64  # most networks side by side: on a processor a network's share of a step is as small as it gets from 8 on
LARGE_BATCH = 64  # images; two slots of one core each gained a third with 16 and lost an eighth with 64 (fused.md)
IMAGES = 2048  # most images in a step of all networks: bounds memory, and at 4,096 a processor gains nothing


def alike(config: Config) -> Hashable:
    """What trials that are trained together have in common; None for one that cannot be trained with others.

    The rest may differ: seeds, rates, schedules, numbers of members and epochs, also the methods.
    """
    asked_for = config.engine == "sequential" and "engine" in config.model_fields_set
    if asked_for or not stackable(config):
        return None
    return tuple(getattr(config, name) for name in SHARED)


def most(config: Config) -> int:
    """How many trials like this one are trained together at most: by NETWORKS and IMAGES; one with larger batches.

    A step of a small network costs a processor its overheads with few images, and its arithmetic with many; from
    LARGE_BATCH on a stack is no quicker than trials apart. A GPU bears more: give a number there.
    """
    networks = min(NETWORKS, IMAGES // config.batch) if config.batch < LARGE_BATCH else 1
    return max(1, networks // plan(config).together)


def train_together(configs: Sequence[Config], contexts: Sequence[Context]) -> None:
    """`training.train` for trials that are alike: each goes through the steps, and makes the reports, of its own plan.

    A round is one epoch (or one draw) of all runs that each of the trials would be busy with alone, whatever their
    number is; then each trial makes the reports that this is worth. One that is over, or stopped, leaves the stack.
    """
    data = loaded(configs[0], contexts[0])
    engine = engine_of(configs, data, contexts[0])
    courses = [
        Course(config, ctx, data, partial(own_engine, config, engine))
        for config, ctx in zip(configs, contexts, strict=True)
    ]
    group = Group(engine)
    while courses := [course for course in courses if goes_on(course)]:
        turns = [course.next_turns() for course in courses]
        completed = iter(group.advance([turn for own in turns for turn in own]))
        for course, own in zip(courses, turns, strict=True):
            course.take(course.news(own, islice(completed, len(own))))


def goes_on(course: Course) -> bool:
    """Make the reports that a trial still owes; whether it has more to train."""
    try:
        while not course.due:
            course.report()
    except Stop:
        return False
    return not course.over


def engine_of(configs: Sequence[Config], data: ImageData, ctx: Context) -> Engine:
    """The engine of the stack: the one that was asked for, or the fastest for so many networks.

    Their number is rounded up to a power of two, so that groups of nearly one size share a measurement.
    """
    if configs[0].engine in ("vmap", "grouped"):
        return configs[0].engine
    networks = sum(plan(config).together for config in configs)
    return quickest(configs[0], data, ctx, 1 << (networks - 1).bit_length()) if networks > 1 else "sequential"


def own_engine(config: Config, engine: Engine) -> Engine:
    """What a trial that begins does about its own runs, in a stack with this engine."""
    if config.engine != "auto":
        return config.engine
    return engine if plan(config).together > 1 else "sequential"
