"""Networks cut at stride 16: ResNets of torchvision, and EfficientNet-Lite0.

An H x W picture has ceil(H / 16) x ceil(W / 16) cells.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional

from trainables.oneshot.registry import require_same_names

BackboneName = Literal["efficientnet_lite0_s16", "resnet18_c4", "resnet50_c4", "resnet101_c4"]
# (kernel, stride, expansion, channels) of each block before the cut (Tan and Le 2019; Lite: no squeeze-excite, ReLU6).
_LITE0 = (
    (3, 1, 1, 16),
    *((3, s, 6, 24) for s in (2, 1)),
    *((5, s, 6, 40) for s in (2, 1)),
    *((3, s, 6, 80) for s in (2, 1, 1)),
    *((5, s, 6, 112) for s in (1, 1, 1)),
)


def cells(pixels: int) -> int:
    """The number of cells along a side of this many pixels."""
    return -(-pixels // 16)


class Backbone(nn.Module, ABC):
    """The base of all backbones: scales pixels in [0, 1] as the weights expect.

    Attributes:
        channels: C of the features.
        after_cut: first letters of the names, in a state dict of the whole network, of the parts after the cut.
    """

    channels: int
    after_cut: tuple[str, ...]
    mean: Tensor
    std: Tensor

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)

    def forward(self, pictures: Tensor) -> Tensor:
        """(N, 3, H, W) in [0, 1] to (N, C, ceil(H / 16), ceil(W / 16))."""
        return self.features((pictures - self.mean) / self.std)

    @abstractmethod
    def features(self, x: Tensor) -> Tensor:
        """Scaled pixels (N, 3, H, W) to (N, C, ceil(H / 16), ceil(W / 16))."""

    @abstractmethod
    def blocks(self) -> list[nn.Module]:
        """The parts that can be frozen one after another, the stem first."""


class ResNetC4(Backbone):
    """A torchvision ResNet up to its third stage; parameter names are torchvision's."""

    after_cut = ("layer4.", "fc.")

    def __init__(self, depth: int) -> None:
        super().__init__((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
        whole = getattr(torchvision.models, f"resnet{depth}")(weights=None)
        self.conv1, self.bn1, self.relu, self.maxpool = whole.conv1, whole.bn1, whole.relu, whole.maxpool
        self.layer1, self.layer2, self.layer3 = whole.layer1, whole.layer2, whole.layer3
        self.channels = 256 if depth == 18 else 1024

    def features(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        cut: Tensor = self.layer3(self.layer2(self.layer1(x)))
        return cut

    def blocks(self) -> list[nn.Module]:
        stem = nn.ModuleList([self.conv1, self.bn1])
        return [stem, *self.layer1, *self.layer2, *self.layer3]


class SameConv2d(nn.Conv2d):
    """A convolution with TensorFlow's padding: an odd pixel of padding goes to the right and to the bottom."""

    def forward(self, x: Tensor) -> Tensor:
        down, across = (self._padding(size, axis) for axis, size in enumerate(x.shape[2:]))
        if down % 2 or across % 2:
            x = functional.pad(x, [across // 2, across - across // 2, down // 2, down - down // 2])
            down = across = 0
        return functional.conv2d(x, self.weight, self.bias, self.stride, (down // 2, across // 2), 1, self.groups)

    def _padding(self, size: int, axis: int) -> int:
        """Padding in pixels along an axis, for an output of ceil(size / stride)."""
        kernel, stride = self.kernel_size[axis], self.stride[axis]
        return max((-(-size // stride) - 1) * stride + kernel - size, 0)


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> SameConv2d:
    return SameConv2d(inputs, outputs, kernel, stride, groups=groups, bias=False)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class MBConv(nn.Module):
    """Widen, filter each channel, narrow; with a residual connection if the shapes allow it."""

    def __init__(self, inputs: int, kernel: int, stride: int, expansion: int, outputs: int) -> None:
        super().__init__()
        wide = inputs * expansion
        if expansion > 1:
            self._expand_conv, self._bn0 = _conv(inputs, wide, 1), _norm(wide)
        self._depthwise_conv, self._bn1 = _conv(wide, wide, kernel, stride, wide), _norm(wide)
        self._project_conv, self._bn2 = _conv(wide, outputs, 1), _norm(outputs)
        self._widens, self._adds = expansion > 1, stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, h, w) to (N, outputs, ceil(h / stride), ceil(w / stride))."""
        y: Tensor = functional.relu6(self._bn0(self._expand_conv(x))) if self._widens else x
        y = functional.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self._adds else y


class EfficientNetLite0(Backbone):
    """EfficientNet-Lite0 up to its block 10; parameter names are those of efficientnet-lite-pytorch."""

    after_cut = (*(f"_blocks.{i}." for i in range(11, 16)), "_conv_head.", "_bn1.", "_fc.")

    def __init__(self) -> None:
        super().__init__((127 / 255,) * 3, (128 / 255,) * 3)
        self._conv_stem, self._bn0 = _conv(3, 32, 3, 2), _norm(32)
        blocks, inputs = [], 32
        for kernel, stride, expansion, outputs in _LITE0:
            blocks.append(MBConv(inputs, kernel, stride, expansion, outputs))
            inputs = outputs
        self._blocks = nn.ModuleList(blocks)
        self.channels = inputs

    def features(self, x: Tensor) -> Tensor:
        x = functional.relu6(self._bn0(self._conv_stem(x)))
        for block in self._blocks:
            x = block(x)
        return x

    def blocks(self) -> list[nn.Module]:
        return [nn.ModuleList([self._conv_stem, self._bn0]), *self._blocks]


class BackboneKind(NamedTuple):
    """A backbone: its constructor, with torch's random initialisation, and its number of blocks, the stem included."""

    make: Callable[[], Backbone]
    blocks: int


BACKBONES = {
    "efficientnet_lite0_s16": BackboneKind(EfficientNetLite0, 12),
    "resnet18_c4": BackboneKind(partial(ResNetC4, 18), 7),
    "resnet50_c4": BackboneKind(partial(ResNetC4, 50), 14),
    "resnet101_c4": BackboneKind(partial(ResNetC4, 101), 31),
}
require_same_names("model.backbone", BackboneName, BACKBONES)


def build_backbone(name: BackboneName) -> Backbone:
    """A backbone with torch's random initialisation, drawn from the global generator."""
    return BACKBONES[name].make()
