"""The networks of the paper: VGG16 with batch normalisation, PreResNet-110/164, WideResNet-28-10, ResNet-50."""

from __future__ import annotations

import functools

import torchvision
from torch import Tensor, nn
from torch.nn import functional

from trainables.ensembles.architectures.dropout import Place

_VGG16 = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M")


class VGG16BN(nn.Module):
    """13 convolutions with batch normalisation, then FC 512-512 (Simonyan, Zisserman 2014, arXiv 1409.1556).

    15,253,578 parameters for CIFAR-10. Dropout of its own before the first two linear layers. Images of 32 pixels.
    """

    def __init__(self, channels: int, size: int, classes: int, place: Place) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for width in _VGG16:
            if isinstance(width, str):
                layers.append(nn.MaxPool2d(2))
            else:
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
                layers.append(place("every", spatial=True))
                channels = width
        self.body = nn.Sequential(*layers, nn.Flatten(), *_hidden(place), *_hidden(place))
        self.head = nn.Linear(512, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Images (n, channels, 32, 32) to logits (n, classes)."""
        logits: Tensor = self.head(self.body(x))
        return logits


def _hidden(place: Place) -> list[nn.Module]:
    return [place("own"), nn.Linear(512, 512), nn.ReLU()]


class Bottleneck(nn.Module):
    """Pre-activation block 1x1, 3x3, 1x1 with expansion 4; a plain 1x1 projection where the shape changes."""

    def __init__(self, width_in: int, width: int, stride: int, place: Place) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(width_in), nn.Conv2d(width_in, width, 1, bias=False)
        self.norm2, self.conv2 = nn.BatchNorm2d(width), nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.norm3, self.conv3 = nn.BatchNorm2d(width), nn.Conv2d(width, 4 * width, 1, bias=False)
        self.shortcut = nn.Sequential()
        if stride > 1 or width_in != 4 * width:
            self.shortcut = nn.Sequential(nn.Conv2d(width_in, 4 * width, 1, stride, bias=False))
        self.drop = place("every", spatial=True)

    def forward(self, x: Tensor) -> Tensor:
        """(n, width_in, h, w) to (n, outputs, h / stride, w / stride)."""
        out: Tensor = self.conv1(functional.relu(self.norm1(x)))
        out = self.conv2(functional.relu(self.norm2(out)))
        out = self.conv3(functional.relu(self.norm3(out)))
        out = self.drop(out + self.shortcut(x))
        return out


class PreResNet(nn.Module):
    """Pre-activation bottleneck network (He et al. 2016, arXiv 1603.05027), (depth - 2)/9 blocks in each of 3 stages.

    1,146,842 (depth 110) and 1,703,258 (164) parameters for CIFAR-10.
    """

    def __init__(self, channels: int, size: int, classes: int, place: Place, depth: int) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        width_in = 16
        for width, stride in ((16, 1), (32, 2), (64, 2)):
            for k in range((depth - 2) // 9):
                blocks.append(Bottleneck(width_in, width, stride if k == 0 else 1, place))
                width_in = 4 * width
        self.body = nn.Sequential(
            nn.Conv2d(channels, 16, 3, padding=1, bias=False),
            *blocks,
            nn.BatchNorm2d(256),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.head = nn.Linear(256, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Images (n, channels, size, size) to logits (n, classes)."""
        logits: Tensor = self.head(self.body(x))
        return logits


class WideBlock(nn.Module):
    """Pre-activation block of two 3x3 convolutions with bias, the stride on the second, dropout of its own between."""

    def __init__(self, width_in: int, width: int, stride: int, place: Place) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(width_in), nn.Conv2d(width_in, width, 3, padding=1)
        self.drop1 = place("own", spatial=True)
        self.norm2, self.conv2 = nn.BatchNorm2d(width), nn.Conv2d(width, width, 3, stride, padding=1)
        self.shortcut = nn.Sequential()
        if stride > 1 or width_in != width:
            self.shortcut = nn.Sequential(nn.Conv2d(width_in, width, 1, stride))
        self.drop2 = place("every", spatial=True)

    def forward(self, x: Tensor) -> Tensor:
        """(n, width_in, h, w) to (n, outputs, h / stride, w / stride)."""
        out: Tensor = self.drop1(self.conv1(functional.relu(self.norm1(x))))
        out = self.conv2(functional.relu(self.norm2(out)))
        out = self.drop2(out + self.shortcut(x))
        return out


class WideResNet(nn.Module):
    """WRN-28-10 (Zagoruyko, Komodakis 2016, arXiv 1605.07146). 36,489,290 parameters for CIFAR-10."""

    def __init__(self, channels: int, size: int, classes: int, place: Place) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        width_in = 16
        for width, stride in ((160, 1), (320, 2), (640, 2)):
            for k in range(4):
                blocks.append(WideBlock(width_in, width, stride if k == 0 else 1, place))
                width_in = width
        self.body = nn.Sequential(
            nn.Conv2d(channels, 16, 3, padding=1),
            *blocks,
            nn.BatchNorm2d(640),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.head = nn.Linear(640, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Images (n, channels, size, size) to logits (n, classes)."""
        logits: Tensor = self.head(self.body(x))
        return logits


class ResNet50(nn.Module):
    """torchvision's ResNet-50 (He et al. 2015). 25,557,032 parameters for 1,000 classes of colour images."""

    def __init__(self, channels: int, size: int, classes: int, place: Place) -> None:
        super().__init__()
        network = torchvision.models.resnet50(num_classes=classes)
        if channels != 3:
            network.conv1 = nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False)
        *layers, head = network.children()
        self.body = nn.Sequential(*layers, nn.Flatten())
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        """Images (n, channels, size, size) to logits (n, classes)."""
        logits: Tensor = self.head(self.body(x))
        return logits


PreResNet110 = functools.partial(PreResNet, depth=110)
PreResNet164 = functools.partial(PreResNet, depth=164)
