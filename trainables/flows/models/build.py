"""Makes the flow that a configuration describes for data of a shape, with weights from a generator."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from raybayes.contract import require_entries
from raybayes.errors import DataError
from trainables.flows.config import Config, HeadKind, NetKind, Shape, TrunkKind, model_problem, plan, size
from trainables.flows.layers import ActNorm, Checkerboard, Coupling, Layer, Logit, Mix, Split, Squeeze, halves
from trainables.flows.layers.nets import ConditionalMlp, GlowNet, Mlp, Net, NetValues, ResidualNet
from trainables.flows.layers.ode import OdeFlow
from trainables.flows.models.flow import ClassShift, Head, SemiConditionalFlow, Trunk


def build_flow(
    config: Config, shape: Shape, classes: int, generator: torch.Generator, log_prior: Tensor | None = None
) -> SemiConditionalFlow:
    """The flow of a configuration.

    Args:
        shape: of an example, (channels, height, width) or (d,).
        generator: draws the weights.
        log_prior: log p(y); uniform where None.

    Raises:
        DataError: the flow does not fit the shape.
    """
    if sentence := model_problem(config, shape):
        raise DataError(sentence)
    whole = plan(config.trunk, shape)
    prior = torch.full((classes,), -math.log(classes)) if log_prior is None else log_prior
    maker = _Maker(config, generator)
    trunk = Trunk(maker.trunk(shape), whole.gone, whole.deep)
    return SemiConditionalFlow(trunk, maker.head(size(whole.deep), classes), prior, config.class_chunk)


class _Maker:
    """Makes layers one after the other from one generator."""

    def __init__(self, config: Config, generator: torch.Generator) -> None:
        self.config, self.generator = config, generator
        bfloat16 = config.precision == "bfloat16"
        self.f = NetValues(generator, config.trunk.width, config.trunk.blocks, bfloat16)
        self.h = NetValues(generator, config.head.width, config.head.blocks, bfloat16)

    def trunk(self, shape: Shape) -> list[Layer | Split]:
        """f for examples of a shape that fits."""
        first: list[Layer | Split] = [Logit(self.config.alpha)] if len(shape) == 3 else []
        return [*first, *TRUNKS[self.config.trunk.kind](self, shape[0])]

    def identity(self, channels: int) -> list[Layer | Split]:
        return []

    def ode(self, d: int) -> list[Layer | Split]:
        return [OdeFlow(d, self.f)]

    def couplings(self, d: int) -> list[Layer | Split]:
        values, layers = self.config.trunk, list[Layer | Split]()
        for _ in range(values.steps):
            one, other = halves(d)
            nets = Mlp(other, 2 * one, self.f, values.zero), Mlp(one, 2 * other, self.f, values.zero)
            layers += [self._mix(d), self._coupling(d, *nets, pictures=False), ActNorm(d)]
        return layers

    def masked_glow(self, channels: int) -> list[Layer | Split]:
        values, layers = self.config.trunk, list[Layer | Split]()
        for level in range(values.levels):
            for parity in range(values.checkerboards):
                net = self._net(channels, 2 * channels)
                board = Checkerboard(net, parity % 2, self.config.bound, self.config.recompute)
                layers += [self._mix(channels, True), board, ActNorm(channels, True)]
            last = level == values.levels - 1
            if not last:
                layers.append(Squeeze())
                channels *= 4
            for _ in range(values.steps):
                layers += [self._mix(channels, True), self._on_channels(channels), ActNorm(channels, True)]
            if not last:
                layers.append(Split(channels, True))
                channels -= channels // 2
        return layers

    def glow(self, channels: int) -> list[Layer | Split]:
        values, layers = self.config.trunk, list[Layer | Split]()
        for level in range(values.levels):
            layers.append(Squeeze())
            channels *= 4
            for _ in range(values.steps):
                layers += [ActNorm(channels, True), self._mix(channels, True), self._on_channels(channels)]
            if level < values.levels - 1:
                layers.append(Split(channels, True))
                channels -= channels // 2
        return [*layers, ActNorm(channels, True)]

    def head(self, d: int, classes: int) -> Head:
        """h on d dimensions."""
        return Head(HEADS[self.config.head.kind](self, d, classes), d)

    def shift_head(self, d: int, classes: int) -> list[list[Layer]]:
        return [[ClassShift(classes, d, self.config.head.spread, self.generator)]]

    def ode_head(self, d: int, classes: int) -> list[list[Layer]]:
        return [[OdeFlow(d, self.h, classes)]]

    def flow_head(self, d: int, classes: int) -> list[list[Layer]]:
        values, levels = self.config.head, list[list[Layer]]()
        for level in range(values.levels):
            layers: list[Layer] = []
            for _ in range(values.steps):
                one, other = halves(d)
                label = values.embedding == "learned", values.label_scale
                first = ConditionalMlp(other, 2 * one, self.h, classes, *label)
                second = ConditionalMlp(one, 2 * other, self.h, classes, *label)
                layers += [ActNorm(d), self._mix(d), self._coupling(d, first, second, pictures=False)]
            levels.append(layers)
            d -= d // 2 if level < values.levels - 1 else 0
        return levels

    def _mix(self, channels: int, pictures: bool = False) -> Mix:
        return Mix(channels, pictures, self.config.trunk.mix, self.config.trunk.start, self.generator)

    def _net(self, channels: int, out: int) -> Net:
        return NETS[self.config.trunk.net](channels, out, self.f)

    def _on_channels(self, channels: int) -> Coupling:
        one, other = halves(channels)
        return self._coupling(channels, self._net(other, 2 * one), self._net(one, 2 * other), pictures=True)

    def _coupling(self, channels: int, first: Net, second: Net, pictures: bool) -> Coupling:
        return Coupling(channels, first, second, pictures, self.config.bound, self.config.recompute)


NETS: dict[NetKind, type[ResidualNet] | type[GlowNet]] = {"resnet": ResidualNet, "glow": GlowNet}
TRUNKS: dict[TrunkKind, Callable[[_Maker, int], list[Layer | Split]]] = {
    "masked_glow": _Maker.masked_glow,
    "glow": _Maker.glow,
    "couplings": _Maker.couplings,
    "identity": _Maker.identity,
    "ode": _Maker.ode,
}
HEADS: dict[HeadKind, Callable[[_Maker, int, int], list[list[Layer]]]] = {
    "flow": _Maker.flow_head,
    "shift": _Maker.shift_head,
    "ode": _Maker.ode_head,
}
require_entries(NetKind, NETS, "trainables/flows/models/build.py: NETS")
require_entries(TrunkKind, TRUNKS, "trainables/flows/models/build.py: TRUNKS")
require_entries(HeadKind, HEADS, "trainables/flows/models/build.py: HEADS")
