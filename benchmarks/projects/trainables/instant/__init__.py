"""A project whose training takes no time, or a given one: what a trial takes beyond that is the service's own cost."""

from pydantic import BaseModel, ConfigDict, Field

from benchmarks.sweep_overhead.objective import work
from raybayes.contract import Context, Metric, Project


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    x: float = Field(0.5, ge=-1, le=1, description="first coordinate")
    y: float = Field(0.5, gt=0, le=1, description="second coordinate")
    sleep_s: float = Field(0.0, ge=0, description="seconds of idling")
    stamps: str = Field("", description="file that gets a line when the work is done")


def train(config: Config, ctx: Context) -> None:
    ctx.report({"loss": work(config.x, config.y, config.sleep_s, config.stamps if ctx.rank == 0 else "")})


PROJECT = Project(
    name="instant",
    summary="a function that returns at once",
    paper="none: it measures the service",
    Config=Config,
    train=train,
    metrics=(Metric("loss", "minimize", doc="squared distance to the minimum"),),
    fidelity="report",
    parallel="data",
    max_steps=lambda config: 1,
)
