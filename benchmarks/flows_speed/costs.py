"""What the presets cost, counted: multiply-accumulates of both parts, and the speed-up that follows from them."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence

import torch
from torch.utils.flop_counter import FlopCounterMode

from trainables.flows.config import Config, data_shape
from trainables.flows.models.build import build_flow
from trainables.flows.models.flow import SemiConditionalFlow
from trainables.flows.models.gflops import gflops

PRESETS = ("paper", "medium", "small", "cpu", "cpu-16x16", "glow", "pca32")
CLASSES = 10


def macs(run: Callable[[int], object]) -> float:
    """Multiply-accumulates of one example, without what a batch needs only once."""

    def counted(n: int) -> int:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            run(n)
        total: int = counter.get_total_flops()
        return total

    return (counted(2) - counted(1)) / 2


def _run_trunk(flow: SemiConditionalFlow, shape: Sequence[int], n: int) -> object:
    return flow.trunk(torch.full((n, *shape), 0.5))


def _run_head(flow: SemiConditionalFlow, deep: int, n: int) -> object:
    return flow.head(torch.zeros(n, deep), torch.zeros(n, dtype=torch.long))


def cost_table() -> str:
    """One line a preset, in Markdown."""
    lines = [
        "| preset | f, MMAC | h, MMAC a class | rho | speed-up by formula | f, M weights | h, M weights | GFLOP |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name in PRESETS:
        config = Config(preset=name)
        shape = data_shape(config)
        assert shape is not None
        flow = build_flow(config, shape, CLASSES, torch.Generator().manual_seed(0)).eval()
        deep = math.prod(flow.trunk.deep)
        f = macs(functools.partial(_run_trunk, flow, shape))
        h = macs(functools.partial(_run_head, flow, deep))
        rho = h / f
        weights = [sum(p.numel() for p in part.parameters()) / 1e6 for part in (flow.trunk, flow.head)]
        lines.append(
            f"| {name} | {f / 1e6:.3g} | {h / 1e6:.3g} | {rho:.3f} | {CLASSES * (1 + rho) / (1 + CLASSES * rho):.2f} |"
            f" {weights[0]:.2f} | {weights[1]:.2f} | {gflops(flow, shape):.3g} |"
        )
    return "\n".join(lines)
