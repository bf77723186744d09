"""The time of an epoch of several members under each engine, augmentation and data order included."""

from __future__ import annotations

import logging
import time
from functools import cache

import torch

from raybayes import data
from trainables.ensembles import Config
from trainables.ensembles.data.images import ImageData, prepare
from trainables.ensembles.fused.forward import Engine
from trainables.ensembles.fused.group import Group, StackedStep
from trainables.ensembles.fused.timing import choose_engine
from trainables.ensembles.methods.registry import METHODS

ENGINES = {"raybayes": "auto", "sequential": "sequential", "vmap": "vmap", "grouped": "grouped"}


class Desk:
    """What a training run needs of a context."""

    rank, world_size = 0, 1
    log = logging.getLogger("benchmark")

    def __init__(self, device: str) -> None:
        self.device = torch.device(device)

    def rng(self, name: str) -> torch.Generator:
        return torch.Generator().manual_seed(sum(map(ord, name)))

    def gather(self, value: Engine) -> list[Engine]:
        return [value]


@cache
def prepared(arch: str, members: int, batch: int, images: int, engine: str, device: str) -> tuple[Config, ImageData]:
    """The configuration, and its data on the device: as many training images as asked for, beside a few others."""
    values = {"arch": arch, "members": members, "batch": batch, "train_images": round(images / 0.95), "engine": engine}
    config = Config.model_validate({**values, "validation": 0.05, "test_images": 10})
    return config, prepare(config, data.load(config.dataset), torch.device(device))


def one_epoch(side: str, arch: str, members: int, batch: int, images: int, device: str = "cpu") -> tuple[float, str]:
    """Seconds of one epoch of all members after a warm one (CPU time on a processor), and the engine that did it.

    The choice of "auto" is made before the clock: a run makes it once.
    """
    torch.set_num_threads(1)
    config, ready = prepared(arch, members, batch, images, ENGINES[side], device)
    controller = Desk(device)
    engine = choose_engine(config, ready, controller, members)  # type: ignore[arg-type]
    runs = [METHODS[config.method](config, ready, controller, index) for index in range(members)]  # type: ignore[arg-type]
    group = Group(engine)
    clock = time.process_time if device == "cpu" else time.perf_counter
    seconds = 0.0
    for epoch in range(2):
        began = clock()
        if engine == "sequential":
            for run in runs:
                run.train_epoch(epoch)
        else:
            group.train_epoch([StackedStep(run, epoch) for run in runs])
        if device != "cpu":
            torch.cuda.synchronize()
        seconds = clock() - began
    return seconds, engine
