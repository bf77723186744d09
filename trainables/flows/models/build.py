"""Makes the flow that a configuration describes for data of a shape, with weights from a generator."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from raybayes.errors import DataError
from trainables.flows.config import Config, Shape, model_problem, plan, size
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

    def trunk(self, shape: Shape) -> list[nn.Module]:
        if len(shape) == 1:
            return self._on_vectors(shape[0])
        first: list[nn.Module] = [Logit(self.config.alpha)]
        made = {"masked_glow": self._masked_glow, "glow": self._glow}.get(self.config.trunk.kind)
        return first if made is None else [*first, *made(shape[0])]

    def _on_vectors(self, d: int) -> list[nn.Module]:
        values = self.config.trunk
        if values.kind == "identity":
            return []
        if values.kind == "ode":
            return [OdeFlow(d, self.f)]
        layers: list[nn.Module] = []
        for _ in range(values.steps):
            one, other = halves(d)
            nets = Mlp(other, 2 * one, self.f, values.zero), Mlp(one, 2 * other, self.f, values.zero)
            layers += [self._mix(d), self._coupling(d, *nets, pictures=False), ActNorm(d)]
        return layers

    def _masked_glow(self, channels: int) -> list[nn.Module]:
        values, layers = self.config.trunk, list[nn.Module]()
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

    def _glow(self, channels: int) -> list[nn.Module]:
        values, layers = self.config.trunk, list[nn.Module]()
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
        values = self.config.head
        if values.kind == "shift":
            return Head([[ClassShift(classes, d, values.spread, self.generator)]], d)
        if values.kind == "ode":
            return Head([[OdeFlow(d, self.h, classes)]], d)
        levels: list[list[Layer]] = []
        left = d
        for level in range(values.levels):
            layers: list[Layer] = []
            for _ in range(values.steps):
                one, other = halves(left)
                label = values.embedding == "learned", values.label_scale
                first = ConditionalMlp(other, 2 * one, self.h, classes, *label)
                second = ConditionalMlp(one, 2 * other, self.h, classes, *label)
                layers += [ActNorm(left), self._mix(left), self._coupling(left, first, second, pictures=False)]
            levels.append(layers)
            left -= left // 2 if level < values.levels - 1 else 0
        return Head(levels, d)

    def _mix(self, channels: int, pictures: bool = False) -> Mix:
        return Mix(channels, pictures, self.config.trunk.mix, self.config.trunk.start, self.generator)

    def _net(self, channels: int, out: int) -> Net:
        return (GlowNet if self.config.trunk.net == "glow" else ResidualNet)(channels, out, self.f)

    def _on_channels(self, channels: int) -> Coupling:
        one, other = halves(channels)
        return self._coupling(channels, self._net(other, 2 * one), self._net(one, 2 * other), pictures=True)

    def _coupling(self, channels: int, first: Net, second: Net, pictures: bool) -> Coupling:
        return Coupling(channels, first, second, pictures, self.config.bound, self.config.recompute)


def gflops(flow: SemiConditionalFlow, shape: Shape) -> float:
    """10^9 floating-point operations of one example's training step: the marginal forward, and twice that backward.

    What a batch needs only once (assembling the mixing matrices) is not counted.
    """

    def counted(n: int) -> int:
        with torch.no_grad(), _Operations() as counter:
            flow.log_marginal(torch.full((n, *shape), 0.5, device=flow.log_prior.device))
        return counter.total

    return 3 * (counted(2) - counted(1)) / 1e9


class _Operations(TorchDispatchMode):
    """Counts by torch's own formulas; torch's FlopCounterMode cannot, where a forward pass takes gradients (ode)."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if (formula := flop_registry.get(func.overloadpacket)) is not None:
            self.total += formula(*args, **kwargs, out_val=out)
        return out
