"""Networks by name, and their initialisation from an explicit generator."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import nn
from torch.nn import init

from trainables.ensembles.architectures.dropout import Place, nowhere
from trainables.ensembles.architectures.large import VGG16BN, PreResNet110, PreResNet164, ResNet50, WideResNet
from trainables.ensembles.architectures.resnet import ResNet20
from trainables.ensembles.architectures.small import MLP, LeNet, SmallCNN
from trainables.ensembles.config import Architecture as ArchitectureName
from trainables.ensembles.registry import require_same_names

Init = Callable[[nn.Conv2d, torch.Generator], None]


@runtime_checkable
class Initialised(Protocol):
    """A layer that draws its own initial values; methods define such layers."""

    def initialise(self, generator: torch.Generator) -> None: ...


@dataclass(frozen=True)
class Architecture:
    """A network by `make(channels, size, classes, place)`, and the initialisation of its convolutions."""

    make: Callable[[int, int, int, Place], nn.Module]
    conv_init: Init


def torch_default(layer: nn.Conv2d | nn.Conv1d | nn.Linear, generator: torch.Generator) -> None:
    """PyTorch's own initialisation of linear and convolutional layers: U(-1, 1)/sqrt(inputs of a unit)."""
    bound = 1 / math.sqrt(layer.weight[0].numel())
    layer.weight.uniform_(-bound, bound, generator=generator)
    if layer.bias is not None:
        layer.bias.uniform_(-bound, bound, generator=generator)


def he_fan_out(layer: nn.Conv2d, generator: torch.Generator) -> None:
    """N(0, 2/(k·k·outputs of a group)) and no bias: VGG and the residual networks (arXiv 1502.01852)."""
    height, width = layer.kernel_size
    outputs = layer.out_channels // layer.groups
    layer.weight.normal_(0, math.sqrt(2 / (height * width * outputs)), generator=generator)
    if layer.bias is not None:
        layer.bias.zero_()


ARCHITECTURES = {
    "mlp": Architecture(MLP, torch_default),
    "cnn": Architecture(SmallCNN, torch_default),
    "lenet": Architecture(LeNet, torch_default),
    "resnet20": Architecture(ResNet20, he_fan_out),
    "vgg16bn": Architecture(VGG16BN, he_fan_out),
    "preresnet110": Architecture(PreResNet110, he_fan_out),
    "preresnet164": Architecture(PreResNet164, he_fan_out),
    "wrn28x10": Architecture(WideResNet, torch_default),
    "resnet50": Architecture(ResNet50, he_fan_out),
}

require_same_names("arch", ArchitectureName, ARCHITECTURES)


def build(
    name: str,
    channels: int,
    size: int,
    classes: int,
    generator: torch.Generator,
    place: Place = nowhere,
    convert: Callable[[nn.Module], None] | None = None,
) -> nn.Module:
    """A freshly initialised network on the CPU; every network has its last linear layer as `.head`.

    Args:
        name: a key of ARCHITECTURES.
        channels, size: the images are (n, channels, size, size).
        generator: CPU generator that the weights are drawn from; the global one is not touched.
        place: gives the dropout layer, or an identity, for each place.
        convert: changes layers before they have weights.
    """
    architecture = ARCHITECTURES[name]
    with torch.device("meta"):  # otherwise the constructors of torch.nn would draw from the global generator
        model = architecture.make(channels, size, classes, place)
        if convert is not None:
            convert(model)
    model.to_empty(device="cpu")
    initialise(model, architecture.conv_init, generator)
    return model


@torch.no_grad()
def initialise(model: nn.Module, conv_init: Init, generator: torch.Generator) -> None:
    """Draw all weights and reset all batch statistics.

    Raises:
        TypeError: a layer has parameters and no known initialisation.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            conv_init(module, generator)
        elif isinstance(module, nn.Linear | nn.Conv1d):
            torch_default(module, generator)
        elif isinstance(module, nn.BatchNorm2d):
            init.ones_(module.weight)
            init.zeros_(module.bias)
            module.reset_running_stats()
        elif isinstance(module, Initialised):
            module.initialise(generator)
        elif own := [name for name, _ in module.named_parameters(recurse=False)]:
            raise TypeError(
                f"{type(module).__name__} has parameters ({', '.join(own)}) and no known initialisation; give it a"
                " method initialise(generator)"
            )
