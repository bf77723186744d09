"""Several trials of a sweep trained at the same time on one device: a step trains the networks of all, as one stack."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import partial
from itertools import islice

from raybayes.contract import Context, Stop
from trainables.ensembles.config import Config
from trainables.ensembles.config.rules import stackable
from trainables.ensembles.data.images import ImageData
from trainables.ensembles.fused.forward import Engine
from trainables.ensembles.fused.group import Group
from trainables.ensembles.fused.timing import fastest_engine
from trainables.ensembles.run.plan import plan
from trainables.ensembles.training.progress import TrainingProgress
from trainables.ensembles.training.train import load_images

SHARED = (
    *("dataset", "train_images", "test_images", "validation", "split_seed", "foreign"),  # the images
    *("arch", "batch", "augment", "engine"),  # a step
)
NETWORKS = 64  # most networks side by side: on a processor a network's share of a step stops falling at 8
LARGE_BATCH = 64  # images; two slots of one core each gained a third with 16 and lost an eighth with 64 (fused.md)
IMAGES = 2048  # most images in a step of all networks: bounds memory, and at 4,096 a processor gains nothing


def fusion_key(config: Config) -> Hashable:
    """The values that trials must share to be trained together; None for a trial that is trained alone.

    The rest may differ: seeds, rates, schedules, numbers of members and epochs, also the methods.
    """
    asked_for = config.engine == "sequential" and "engine" in config.model_fields_set
    if asked_for or not stackable(config):
        return None
    return tuple(getattr(config, name) for name in SHARED)


def most_fused(config: Config) -> int:
    """The largest number of trials like this one to train together: by NETWORKS and IMAGES; 1 for larger batches.

    A step of a small network costs a processor its overheads if the batch is small, and its arithmetic if it is large:
    from LARGE_BATCH on a stack is no faster than separate trials. A GPU gains from more; an explicit number sets it.
    """
    networks = min(NETWORKS, IMAGES // config.batch) if config.batch < LARGE_BATCH else 1
    return max(1, networks // plan(config).fused)


def train_fused(configs: Sequence[Config], contexts: Sequence[Context]) -> None:
    """`train.train` for trials with the same `fusion_key`: each does the steps and makes the reports of its own plan.

    A round is one epoch (or one draw) of all runs that each trial would train at the same time if it were alone; then
    each trial makes the reports of that round. A trial that has finished, or was stopped, leaves the stack.
    """
    data = load_images(configs[0], contexts[0])
    engine = stack_engine(configs, data, contexts[0])
    active = [
        TrainingProgress(config, ctx, data, partial(own_engine, config, engine))
        for config, ctx in zip(configs, contexts, strict=True)
    ]
    group = Group(engine)
    while active := [progress for progress in active if report_round(progress)]:
        steps = [progress.next_steps() for progress in active]
        completed = iter(group.advance([step for own in steps for step in own]))
        for progress, own in zip(active, steps, strict=True):
            progress.record(progress.store_members(own, islice(completed, len(own))))


def report_round(progress: TrainingProgress) -> bool:
    """Make the outstanding reports of a trial; whether it has more to train."""
    try:
        while not progress.all_reported:
            progress.report()
    except Stop:
        return False
    return not progress.finished


def stack_engine(configs: Sequence[Config], data: ImageData, ctx: Context) -> Engine:
    """The engine of the stack: the configured one, or the fastest for that number of networks.

    Their number is rounded up to a power of two, so that groups of similar size share a measurement.
    """
    if configs[0].engine in ("vmap", "grouped"):
        return configs[0].engine
    networks = sum(plan(config).fused for config in configs)
    return fastest_engine(configs[0], data, ctx, 1 << (networks - 1).bit_length()) if networks > 1 else "sequential"


def own_engine(config: Config, engine: Engine) -> Engine:
    """The engine that a trial at its start uses for its own runs, in a stack with this engine."""
    if config.engine != "auto":
        return config.engine
    return engine if plan(config).fused > 1 else "sequential"
