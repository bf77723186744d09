"""Residual networks with the activation after the addition (He et al. 2015, arXiv 1512.03385)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from trainables.ensembles.architectures.dropout import Place


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch normalisation; a 1x1 projection where the shape changes (option B)."""

    def __init__(self, width_in: int, width: int, stride: int, place: Place) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.drop1 = place("every", spatial=True)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.shortcut = nn.Sequential()
        if stride > 1 or width_in != width:
            self.shortcut = nn.Sequential(nn.Conv2d(width_in, width, 1, stride, bias=False), nn.BatchNorm2d(width))
        self.drop2 = place("every", spatial=True)

    def forward(self, x: Tensor) -> Tensor:
        """(n, width_in, h, w) to (n, width, h / stride, w / stride)."""
        out: Tensor = self.drop1(functional.relu(self.norm1(self.conv1(x))))
        out = self.norm2(self.conv2(out))
        out = self.drop2(functional.relu(out + self.shortcut(x)))
        return out


class ResNet20(nn.Module):
    """ResNet-20: three stages of three blocks, 16, 32, 64 wide. 272,474 parameters for CIFAR-10."""

    def __init__(self, channels: int, size: int, classes: int, place: Place) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        width_in = 16
        for width, stride in ((16, 1), (32, 2), (64, 2)):
            for k in range(3):
                blocks.append(BasicBlock(width_in, width, stride if k == 0 else 1, place))
                width_in = width
        self.body = nn.Sequential(
            nn.Conv2d(channels, 16, 3, padding=1, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            *blocks,
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.head = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Images (n, channels, size, size) to logits (n, classes)."""
        logits: Tensor = self.head(self.body(x))
        return logits
