"""The fastest engine for several networks on this device, by a few timed steps of each."""

from __future__ import annotations

import copy
import statistics
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from raybayes.clock import WALL, Clock
from raybayes.contract import Context
from trainables.ensembles.config import Config
from trainables.ensembles.config.rules import side_by_side
from trainables.ensembles.data.images import ImageData
from trainables.ensembles.fused.forward import Engine
from trainables.ensembles.fused.weights import SideBySide
from trainables.ensembles.methods.registry import METHODS

ENGINES: tuple[Engine, ...] = ("sequential", "vmap", "grouped")
WARM, TIMED = 2, 7  # steps of each engine
_FASTEST: dict[tuple[object, ...], Engine] = {}  # for the process's lifetime


def choose_engine(config: Config, data: ImageData, ctx: Context, runs: int) -> Engine:
    """The engine of a run: the configured one, or with "auto" the fastest for this network, batch and device.

    Every rank must call it; all ranks use what rank 0 measured. A measurement holds for the process's lifetime.

    Args:
        runs: training runs of the whole ensemble.
    """
    if config.engine != "auto":
        return config.engine
    mine = -(-runs // ctx.world_size)  # runs of rank 0
    if not side_by_side(config) or mine < 2:
        ctx.log.info("engine auto: %s with %s trains one run after the other", config.method, config.arch)
        return "sequential"
    own: Engine = fastest_engine(config, data, ctx, mine) if ctx.rank == 0 else "sequential"
    shared: Engine = ctx.gather(own)[0]
    return shared


def fastest_engine(config: Config, data: ImageData, ctx: Context, networks: int) -> Engine:
    """The engine with the shortest step of that number of networks; measured once in the process's lifetime."""
    key = (config.arch, config.batch, networks, str(ctx.device), data.pixels)
    if key not in _FASTEST:
        times = measure_steps(config, data, ctx, networks)
        _FASTEST[key] = fastest(times)
        shown = ", ".join(f"{name} {1e3 * seconds:.2f} ms" for name, seconds in times.items())
        ctx.log.info("engine auto: %s (a step of %d networks: %s)", _FASTEST[key], networks, shown)
    return _FASTEST[key]


def fastest(times: dict[Engine, float]) -> Engine:
    """The engine of the shortest time; "sequential" if no other is faster."""
    return min(ENGINES, key=lambda engine: times[engine])  # the first of equals: sequential


def measure_steps(
    config: Config, data: ImageData, ctx: Context, networks: int, clock: Clock = WALL
) -> dict[Engine, float]:
    """Median seconds of a step of that number of networks with each engine, on copies; the engines take turns."""
    run = METHODS[config.method](config, data, ctx, 0)
    size = min(config.batch, len(data.train))
    images = data.normalise(data.train.images[:size])
    labels = data.train.labels[:size]
    steps = {engine: step_of(run.model, networks, images, labels, config, engine) for engine in ENGINES}
    times: dict[Engine, list[float]] = {engine: [] for engine in ENGINES}
    for repetition in range(WARM + TIMED):
        for engine, step in steps.items():
            began = clock.elapsed()
            step()
            if ctx.device.type == "cuda":
                torch.cuda.synchronize(ctx.device)
            if repetition >= WARM:
                times[engine].append(clock.elapsed() - began)
    return {engine: statistics.median(found) for engine, found in times.items()}


def step_of(
    model: nn.Module, networks: int, images: torch.Tensor, labels: torch.Tensor, config: Config, engine: Engine
) -> Callable[[], None]:
    """A function that does one step of SGD of `networks` copies of a network, at rate 0, so that nothing diverges."""
    models = [copy.deepcopy(model).train() for _ in range(networks)]
    optimizers = [
        torch.optim.SGD(m.parameters(), lr=0.0, momentum=config.momentum, weight_decay=config.wd) for m in models
    ]
    if engine != "sequential":
        stack = SideBySide(models, optimizers, engine)
        all_images, all_labels = (each.expand(networks, *each.shape).contiguous() for each in (images, labels))
        return lambda: stack.step(all_images, all_labels, [0.0] * networks)

    def one_after_the_other() -> None:
        for one, optimizer in zip(models, optimizers, strict=True):
            one.zero_grad()
            functional.cross_entropy(one(images), labels).backward()
            optimizer.step()

    return one_after_the_other
