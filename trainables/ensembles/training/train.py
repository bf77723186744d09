"""The training function of ensembles: reads from top to bottom, and knows no method's details."""

from __future__ import annotations

from functools import partial

from raybayes.contract import Context
from raybayes.errors import DataError
from trainables.ensembles.config import Config
from trainables.ensembles.data.images import ImageData, prepare, unseen_classes
from trainables.ensembles.fused.group import Group
from trainables.ensembles.fused.timing import choose_engine
from trainables.ensembles.run.plan import plan
from trainables.ensembles.training.progress import TrainingProgress


def train(config: Config, ctx: Context) -> None:
    """Train the members of one ensemble, store their predictions, and report the score of the ensemble so far.

    Worker r of W trains runs r, r + W, ...; a method with one run leaves the other workers idle, unless `share` is
    "images": then all workers train every run together, each on its part of every batch. One report stands for one step
    of one run (see `run.plan`), so a round of several runs (on several workers, or side by side on one) makes as many
    reports, with the same numbers. Before the first member is finished, reports score the first run's network.
    """
    whole = plan(config)
    if config.share == "members" and ctx.rank == 0 and ctx.world_size > whole.runs:
        ctx.log.warning(
            "method %s has %d training run(s): %d of %d workers are idle; -s share=images lets them train it together",
            config.method,
            whole.runs,
            ctx.world_size - whole.runs,
            ctx.world_size,
        )
    data = load_images(config, ctx)
    if config.share == "images":
        require_shares(config, len(data.train), ctx.world_size)
    progress = TrainingProgress(config, ctx, data, partial(choose_engine, config, data, ctx, whole.runs))
    group = Group(progress.engine)
    while not progress.finished:
        if progress.all_reported:
            steps = progress.next_steps()
            results = progress.store_members(steps, group.advance(steps))
            every = [results] if config.share == "images" else ctx.gather(results)
            progress.record([result for part in every for result in part])
        progress.report()


def load_images(config: Config, ctx: Context) -> ImageData:
    """The images of a configuration, on the device; the first worker logs a warning if classes are missing."""
    foreign = None if config.foreign == "none" else ctx.data(config.foreign)
    data = prepare(config, ctx.data(config.dataset), ctx.device, foreign)
    if ctx.rank == 0 and (sentence := unseen_classes(data)) is not None:
        ctx.log.warning(sentence)
    return data


def require_shares(config: Config, images: int, workers: int) -> None:
    """Raise DataError if a batch has fewer than two images for each of the workers that share it."""
    smallest = images // -(-images // config.batch)
    if smallest < 2 * workers:
        raise DataError(
            f"share = images: a batch of {smallest} for {workers} workers is fewer than 2 images each; raise batch, or"
            " use fewer workers."
        )
