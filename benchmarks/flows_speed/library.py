"""A two-level Glow on 1 x 28 x 28 pictures, of own layers and of normflows', with nets of the same size."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from trainables.flows.build import build_flow
from trainables.flows.config import Config

NETS_A_LEVEL = 4
WIDTH = 64


def own_glow(x: Tensor) -> Callable[[], None]:
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


def library_glow(x: Tensor) -> Callable[[], None]:
    """The step of the same with normflows: four couplings of one net a level."""
    import normflows as nf

    with torch.random.fork_rng():  # the library draws its weights from the global generator
        torch.manual_seed(0)
        levels = nn.ModuleList(
            nn.ModuleList(
                nf.flows.GlowBlock(channels, WIDTH, split_mode="channel", scale=True) for _ in range(NETS_A_LEVEL)
            )
            for channels in (4, 8)
        )

    def step() -> None:
        levels.zero_grad(set_to_none=True)
        s = 0.025 + 0.95 * x
        z = s.log() - torch.log1p(-s)
        loss = (s.log() + torch.log1p(-s)).sum((1, 2, 3))
        for number, level in enumerate(levels):
            z = nn.functional.pixel_unshuffle(z, 2)
            for block in level:
                z, log_det = block(z)
                loss = loss - log_det
            if number == 0:
                gone, z = z.chunk(2, 1)
                loss = loss + 0.5 * gone.square().sum((1, 2, 3))
        (loss + 0.5 * z.square().sum((1, 2, 3))).mean().backward()

    step()  # sets the library's ActNorms
    return step
