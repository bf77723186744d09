"""The training function of the ensemble study: reads from top to bottom, knows no method's details."""

from __future__ import annotations

from functools import partial

from raybayes.contract import Context
from raybayes.errors import DataError
from trainables.ensembles.config.values import Config
from trainables.ensembles.data import ImageData, prepare, unseen_classes
from trainables.ensembles.fused import Group, settle
from trainables.ensembles.plan import plan
from trainables.ensembles.progress import Course


def train(config: Config, ctx: Context) -> None:
    """Train the members of one ensemble, store their predictions, and report the score of the ensemble so far.

    Worker r of W trains runs r, r + W, ...; a method of one run leaves the other workers waiting, unless `share` is
    "images": then all workers train every run together, each on its part of every batch. One report stands for
    one step of one run (see `plan`), so a round of several runs (on several workers, or side by side on one) makes as
    many reports, with the same numbers. Until the first member is finished, the first run's network stands for the
    ensemble.
    """
    whole = plan(config)
    if config.share == "members" and ctx.rank == 0 and ctx.world_size > whole.runs:
        ctx.log.warning(
            "method %s has %d training run(s): %d of %d workers wait; -s share=images lets them train it together",
            config.method,
            whole.runs,
            ctx.world_size - whole.runs,
            ctx.world_size,
        )
    data = loaded(config, ctx)
    if config.share == "images":
        check_shares(config, len(data.train), ctx.world_size)
    course = Course(config, ctx, data, partial(settle, config, data, ctx, whole.runs))
    group = Group(course.engine)
    while not course.over:
        if course.due:
            turns = course.next_turns()
            news = course.news(turns, group.advance(turns))
            course.take([one for told in ([news] if config.share == "images" else ctx.gather(news)) for one in told])
        course.report()


def loaded(config: Config, ctx: Context) -> ImageData:
    """The images of a configuration, on the device; the first worker says what is wrong with them."""
    foreign = None if config.foreign == "none" else ctx.data(config.foreign)
    data = prepare(config, ctx.data(config.dataset), ctx.device, foreign)
    if ctx.rank == 0 and (sentence := unseen_classes(data)) is not None:
        ctx.log.warning(sentence)
    return data


def check_shares(config: Config, images: int, workers: int) -> None:
    """DataError if a batch has fewer than two images for each of the workers that share it."""
    smallest = images // -(-images // config.batch)
    if smallest < 2 * workers:
        raise DataError(
            f"share = images: a batch of {smallest} for {workers} workers is fewer than 2 images each; raise batch, or"
            " use fewer workers."
        )
