"""A project for tests: gradient descent on a parabola in float64, with every habit and vice of a training function."""

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean
from typing import Literal

import pyarrow as pa
import torch
from matplotlib.figure import Figure
from pydantic import BaseModel, ConfigDict, Field

from raybayes.contract import Command, Context, Findings, Finished, Fusion, Metric, Project, Rescore, Stop
from raybayes.errors import SpecError


class Momentum(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    beta: float = Field(0.9, ge=0, lt=1, description="decay of the velocity")


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    lr: float = Field(0.1, gt=0, le=10, description="step size")
    steps: int = Field(4, ge=1, description="gradient steps, one report each")
    method: Literal["plain", "momentum"] = Field("plain", description="how the gradient is used")
    momentum: Momentum = Momentum()
    noise: float = Field(0.0, ge=0, description="standard deviation of the gradient's noise")
    sleep_s: float = Field(0.0, ge=0, description="seconds of idling a step")
    fail_at: int = Field(0, ge=0, description="step at which it raises; 0: never")
    nan_at: int = Field(0, ge=0, description="step at which it reports NaN; 0: never")
    die_at: int = Field(0, ge=0, description="step at which its process is killed; 0: never")
    hang_at: int = Field(0, ge=0, description="step at which it does nothing for ever; 0: never")
    eat_at: int = Field(0, ge=0, description="step at which it asks for more memory than there is; 0: never")
    eat_gib: float = Field(0.0, ge=0, description="memory that it takes then, and keeps for a while; 0: too much")
    only_above: float = Field(0.0, ge=0, description="the vices are those of learning rates above this alone")
    marker: str = Field("", description="file that remembers that it was killed, so that it is not again")
    grace: int = Field(0, ge=0, description="first report that a scheduler may stop it at")
    log: str = Field("", description="file that gets a line a step")
    meet: str = Field("", description="folder where it waits at its start until a second trial stands there too")


def wait_for_another(folder: Path) -> None:
    """Return once a second process stands in `folder`; the first to come stays until then."""
    (folder / str(os.getpid())).touch()
    deadline = time.monotonic() + 60
    while len(list(folder.iterdir())) < 2:
        if time.monotonic() > deadline:
            raise TimeoutError("no other trial was there within 60 s")
        time.sleep(0.01)


def eat(gib: float) -> None:
    if not gib:
        bytearray(1 << 60)
    kept = b"x" * int(gib * 2**30)
    deadline = time.monotonic() + 20
    while kept and time.monotonic() < deadline:
        time.sleep(0.1)


def train(config: Config, ctx: Context) -> None:
    for _ in descent(config, ctx):
        pass


def train_together(configs: Sequence[Config], contexts: Sequence[Context]) -> None:
    """A step of each, then the next step of each."""
    left = [descent(config, ctx) for config, ctx in zip(configs, contexts, strict=True)]
    while left:
        left = [one for one in left if goes_on(one)]


def goes_on(steps: Iterator[None]) -> bool:
    try:
        return next(steps, ...) is not ...
    except Stop:
        return False


def descent(config: Config, ctx: Context) -> Iterator[None]:
    """One step of the training after the other."""
    if config.meet:
        wait_for_another(Path(config.meet))
    x = torch.full((4,), 2.0, dtype=torch.float64)
    velocity = torch.zeros_like(x)
    generator = ctx.rng("noise")
    start = 0
    if (state := ctx.resume()) is not None:
        x, velocity, start = state["x"], state["velocity"], state["step"]
        generator.set_state(state["generator"])
    vicious = config.lr > config.only_above
    for step in range(start + 1, config.steps + 1):
        time.sleep(config.sleep_s)
        if config.log:
            with open(config.log, "a") as file:
                file.write(f"{step} {os.getpid()} {ctx.rank} {config.lr}\n")
        while vicious and step == config.hang_at:
            time.sleep(1)
        if vicious and step == config.eat_at:
            eat(config.eat_gib)
        if vicious and step == config.fail_at:
            raise ValueError(f"asked to fail at step {step}")
        if vicious and step == config.die_at and not os.path.exists(config.marker):
            if config.marker:
                open(config.marker, "w").close()
            os.kill(os.getpid(), 9)
        parts = ctx.shard(x)
        own = 2 * parts + config.noise * torch.randn(4, generator=generator, dtype=torch.float64)[: len(parts)]
        gradient = torch.zeros_like(x)
        gradient[ctx.rank :: ctx.world_size] = own
        gradient = ctx.all_reduce(gradient) * ctx.world_size
        velocity = (config.momentum.beta if config.method == "momentum" else 0.0) * velocity + gradient
        x = x - config.lr * velocity
        loss = float("nan") if step == config.nan_at else float((x**2).sum())
        metrics = {"loss": loss, "size": float(config.steps)}
        state_now = {"x": x, "velocity": velocity, "step": step, "generator": generator.get_state()}
        if step == config.steps:
            ctx.save_table("path", pa.table({"x": x.tolist()}))
            metrics["final"] = loss
        ctx.report(metrics, state=lambda state_now=state_now: state_now)
        yield


class Weights(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    power: float = Field(2.0, gt=0, description="of the distance")


def rescored(finished: Finished, settings: Weights) -> Findings:
    path = finished.table("path")
    losses = [abs(x) ** settings.power for x in path["x"].to_pylist()]
    results = path.select(["trial", "repeat"]).append_column("loss", pa.array(losses))
    return Findings({"total": pa.table({"loss": [sum(losses)], "loss.se": [0.0]})}, results=results)


class Asked(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    power: float = Field(1.0, gt=0, description="of the distance")
    label: tuple[str, ...] = Field((), description="a name for each point")


def distances(finished: Finished, points, asked: Asked) -> Findings:
    if not points:
        raise SpecError("distance needs a point at least: raybayes distance 1.5 --run PATH.")
    x = float(finished.state()["x"].mean())
    rows = [abs(float(point) - x) ** asked.power for point in points]
    names = [*asked.label, *points[len(asked.label) :]]
    return Findings({"distances": pa.table({"point": names, "distance": rows})}, {"A picture": Figure()})


PROJECT = Project(
    name="parabola",
    summary="gradient descent on a parabola",
    paper="A. Cauchy, Methode generale pour la resolution des systemes d'equations simultanees, 1847",
    Config=Config,
    train=train,
    metrics=(
        Metric("loss", "minimize", doc="squared distance to the minimum"),
        Metric("size", "minimize", "steps", "cost of the run"),
        Metric("final", "minimize", doc="loss at the end", every_report=False),
    ),
    fidelity="step",
    parallel="data",
    smoke={"steps": 3},
    max_steps=lambda config: config.steps,
    grace_period=lambda config: config.grace,
    findings=lambda finished: Findings(
        {"steps, mean over trials": pa.table({"steps": [mean(finished.trials["steps"].to_pylist() or [0])]})},
        {"The path of a trial": Figure()} if "path" in finished.tables else {},
    ),
    rescore=Rescore(Weights, rescored),
    fusion=Fusion(alike=lambda config: config.method, most=lambda config: 8, train=train_together),
    commands=(Command("distance", "How far points are from where a run has come.", "POINT", Asked, distances),),
)
