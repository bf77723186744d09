"""Which way of training several networks is the fastest here: a few timed steps of each."""

from __future__ import annotations

import copy
import statistics
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from raybayes.clock import WALL, Clock
from raybayes.contract import Context
from trainables.ensembles.config.rules import side_by_side
from trainables.ensembles.config.values import Config
from trainables.ensembles.data import ImageData
from trainables.ensembles.fused.forward import Engine
from trainables.ensembles.fused.weights import SideBySide
from trainables.ensembles.methods import METHODS

ENGINES: tuple[Engine, ...] = ("sequential", "vmap", "grouped")
WARM, TIMED = 2, 7  # steps of each engine
_CHOSEN: dict[tuple[object, ...], Engine] = {}


def settle(config: Config, data: ImageData, ctx: Context, runs: int) -> Engine:
    """The engine of a run: the one that was asked for, or under "auto" the fastest for this network, batch and device.

    Every rank must call it; the ranks do what rank 0 measured. What was measured holds for the process's lifetime.

    Args:
        runs: training runs of the whole ensemble.
    """
    if config.engine != "auto":
        return config.engine
    mine = -(-runs // ctx.world_size)  # runs of rank 0
    if not side_by_side(config) or mine < 2:
        ctx.log.info("engine auto: %s with %s is trained one run after the other", config.method, config.arch)
        return "sequential"
    chosen: Engine = quickest(config, data, ctx, mine) if ctx.rank == 0 else "sequential"
    agreed: Engine = ctx.gather(chosen)[0]
    return agreed


def quickest(config: Config, data: ImageData, ctx: Context, networks: int) -> Engine:
    """The engine that a few timed steps of so many networks find the fastest; once in the process's lifetime."""
    key = (config.arch, config.batch, networks, str(ctx.device), data.pixels)
    if key not in _CHOSEN:
        times = measured(config, data, ctx, networks)
        _CHOSEN[key] = fastest(times)
        shown = ", ".join(f"{name} {1e3 * seconds:.2f} ms" for name, seconds in times.items())
        ctx.log.info("engine auto: %s (a step of %d networks: %s)", _CHOSEN[key], networks, shown)
    return _CHOSEN[key]


def fastest(times: dict[Engine, float]) -> Engine:
    """The engine of the shortest time; one after the other where nothing beats that."""
    return min(ENGINES, key=lambda engine: times[engine])  # the first of equals: sequential


def measured(config: Config, data: ImageData, ctx: Context, networks: int, clock: Clock = WALL) -> dict[Engine, float]:
    """Median seconds of a step of `networks` of them under each engine, on copies; the engines take turns."""
    run = METHODS[config.method](config, data, ctx, 0)
    size = min(config.batch, len(data.train))
    images = data.normalise(data.train.images[:size])
    labels = data.train.labels[:size]
    steps = {engine: step_of(run.model, networks, images, labels, config, engine) for engine in ENGINES}
    times: dict[Engine, list[float]] = {engine: [] for engine in ENGINES}
    for turn in range(WARM + TIMED):
        for engine, step in steps.items():
            began = clock.elapsed()
            step()
            if ctx.device.type == "cuda":
                torch.cuda.synchronize(ctx.device)
            if turn >= WARM:
                times[engine].append(clock.elapsed() - began)
    return {engine: statistics.median(found) for engine, found in times.items()}


def step_of(
    model: nn.Module, networks: int, images: torch.Tensor, labels: torch.Tensor, config: Config, engine: Engine
) -> Callable[[], None]:
    """A function that makes one step of SGD of `networks` copies of a network, at rate 0: nothing diverges."""
    models = [copy.deepcopy(model).train() for _ in range(networks)]
    optimizers = [
        torch.optim.SGD(m.parameters(), lr=0.0, momentum=config.momentum, weight_decay=config.wd) for m in models
    ]
    if engine != "sequential":
        together = SideBySide(models, optimizers, engine)
        stacked = [each.expand(networks, *each.shape).contiguous() for each in (images, labels)]
        return lambda: together.step(*stacked, [0.0] * networks)

    def one_after_the_other() -> None:
        for one, optimizer in zip(models, optimizers, strict=True):
            one.zero_grad()
            functional.cross_entropy(one(images), labels).backward()
            optimizer.step()

    return one_after_the_other
