"""A project whose learning curves look like real ones and take no time: what a large sweep's page has to hold."""

import math
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field

from raybayes.contract import Context, Metric, Project


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    lr: float = Field(0.03, gt=0, description="step size; the best is 0.03")
    weight_decay: float = Field(1e-4, gt=0, description="has a small effect")
    width: int = Field(64, ge=1, description="wider is better, and slower to converge")
    method: Literal["single", "swag", "snapshot"] = Field("single", description="snapshot is best")
    batch: int = Field(128, ge=1, description="has no effect")
    dropout: float = Field(0.1, ge=0, lt=1, description="has no effect")
    reports: int = Field(100, ge=1, description="length of the curve")


def train(config: Config, ctx: Context) -> None:
    noise = torch.randn(config.reports, generator=ctx.rng("noise"), dtype=torch.float64)
    floor = 0.2 + 0.3 * math.log10(config.lr / 0.03) ** 2 + 0.02 * abs(math.log10(config.weight_decay) + 4)
    floor += 0.1 * 16 / config.width - 0.05 * (config.method == "snapshot")
    for step in range(1, config.reports + 1):
        loss = floor + (2.3 - floor) * math.exp(-6 * step / (10 + config.width / 8)) + 0.01 * noise[step - 1].item()
        ctx.report({"loss": loss, "error": 40 * loss})


PROJECT = Project(
    name="curves",
    summary="learning curves drawn from a formula",
    paper="none: it measures the service",
    Config=Config,
    train=train,
    metrics=(Metric("loss", "minimize", "nats"), Metric("error", "minimize", "%")),
    fidelity="epoch",
    parallel="data",
    max_steps=lambda config: config.reports,
)
