"""A two-level Glow on 1 x 28 x 28 pictures, of own layers and of other libraries', with nets of the same size.

normflows and nflows have one net a coupling, FrEIA and raybayes two; so the former have four couplings a level, each
with its ActNorm and mixing, the latter two. FrEIA learns no 1 x 1 mixing of pictures, so it gets a fixed one.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable, Sequence
from importlib.metadata import version

import torch
from torch import Tensor, nn

from trainables.flows.config import Config
from trainables.flows.models.build import build_flow

NETS_A_LEVEL = 4
WIDTH = 64
CHANNELS = (4, 8)  # after the squeeze of each level
SIDES = (14, 7)

Step = Callable[[], None]
Bijection = Callable[[Tensor], tuple[Tensor, Tensor]]


def own_glow(x: Tensor) -> Step:
    """The step of the own trunk: two couplings of two nets a level, without a conditional part."""
    trunk = {"kind": "glow", "levels": 2, "steps": NETS_A_LEVEL // 2, "width": WIDTH, "blocks": 1, "net": "glow"}
    flow = build_flow(Config(preset="glow", trunk=trunk), tuple(x.shape[1:]), 2, torch.Generator().manual_seed(0))
    flow.train().initialise(x)

    def step() -> None:
        flow.zero_grad(set_to_none=True)
        deep, gone, log_det = flow.trunk(x)
        loss = 0.5 * (deep.square().sum(1) + gone.square().sum(1)) - log_det
        loss.mean().backward()

    return step


def library_glows(x: Tensor) -> dict[str, Step]:
    """The same step of every library that is installed, by name and version."""
    makers = {"normflows": _normflows, "FrEIA": _freia, "nflows": _nflows}
    found = {}
    for name, levels in makers.items():
        if importlib.util.find_spec(name) is not None:
            with torch.random.fork_rng():  # the libraries draw their weights from the global generator
                torch.manual_seed(0)
                found[f"{name} {version(name)}"] = _step(*levels(), x)
    return found


def _step(modules: nn.Module, levels: Sequence[Sequence[Bijection]], x: Tensor) -> Step:
    """The negative log-density of a multi-scale flow and its gradient."""

    def step() -> None:
        modules.zero_grad(set_to_none=True)
        s = 0.025 + 0.95 * x
        z = s.log() - torch.log1p(-s)
        loss = (s.log() + torch.log1p(-s)).sum((1, 2, 3))
        for number, level in enumerate(levels):
            z = nn.functional.pixel_unshuffle(z, 2)
            for layer in level:
                z, log_det = layer(z)
                loss = loss - log_det
            if number == 0:
                gone, z = z.chunk(2, 1)
                loss = loss + 0.5 * gone.square().sum((1, 2, 3))
        (loss + 0.5 * z.square().sum((1, 2, 3))).mean().backward()

    step()  # sets the ActNorms
    return step


def _normflows() -> tuple[nn.Module, list[list[Bijection]]]:
    from normflows.flows import GlowBlock

    levels = [
        [GlowBlock(channels, WIDTH, split_mode="channel", scale=True) for _ in range(NETS_A_LEVEL)]
        for channels in CHANNELS
    ]
    return nn.ModuleList(block for level in levels for block in level), levels


def _nflows() -> tuple[nn.Module, list[list[Bijection]]]:
    from nflows.transforms import ActNorm, AffineCouplingTransform, OneByOneConvolution

    levels = []
    for channels in CHANNELS:
        mask = torch.arange(channels) < channels // 2
        layers = [
            (ActNorm(channels), OneByOneConvolution(channels), AffineCouplingTransform(mask, _ContextNet))
            for _ in range(NETS_A_LEVEL)
        ]
        levels.append([layer for group in layers for layer in group])
    return nn.ModuleList(layer for level in levels for layer in level), levels


def _freia() -> tuple[nn.Module, list[list[Bijection]]]:
    from FrEIA.modules import ActNorm, Fixed1x1Conv, GLOWCouplingBlock

    made, levels = nn.ModuleList(), []
    for channels, side in zip(CHANNELS, SIDES, strict=True):
        shape = [(channels, side, side)]
        level: list[Bijection] = []
        for _ in range(NETS_A_LEVEL // 2):
            rotation = torch.linalg.qr(torch.randn(channels, channels)).Q
            layers = [ActNorm(shape), Fixed1x1Conv(shape, M=rotation), GLOWCouplingBlock(shape, [], _net)]
            made.extend(layers)
            level += [functools.partial(_apply, layer) for layer in layers]
        levels.append(level)
    return made, levels


def _apply(layer: nn.Module, z: Tensor) -> tuple[Tensor, Tensor]:
    (output,), log_det = layer([z])
    return output, log_det


def _net(inputs: int, outputs: int) -> nn.Sequential:
    """3x3-1x1-3x3, zero at the start."""
    last = nn.Conv2d(WIDTH, outputs, 3, padding=1)
    nn.init.zeros_(last.weight)
    assert last.bias is not None
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Conv2d(inputs, WIDTH, 3, padding=1), nn.ReLU(), nn.Conv2d(WIDTH, WIDTH, 1), nn.ReLU(), last)


class _ContextNet(nn.Module):
    """The net, called as nflows calls it."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.net = _net(inputs, outputs)

    def forward(self, x: Tensor, context: None = None) -> Tensor:
        out: Tensor = self.net(x)
        return out
