"""Networks that train in seconds on a processor."""

from __future__ import annotations

from torch import Tensor, nn

from trainables.ensembles.architectures.dropout import Place


class MLP(nn.Module):
    """FC64, FC with ReLU between. 50,890 parameters for MNIST."""

    def __init__(self, channels: int, size: int, classes: int, place: Place) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(channels * size**2, 64), nn.ReLU(), place("own"))
        self.head = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Images (n, channels, size, size) to logits (n, classes)."""
        logits: Tensor = self.head(self.body(x))
        return logits


class SmallCNN(nn.Module):
    """conv5x5/2(8), conv5x5/2(16), FC64, FC; ReLU after each but the last. 54,314 parameters for MNIST."""

    def __init__(self, channels: int, size: int, classes: int, place: Place) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, 8, 5, stride=2, padding=2),
            nn.ReLU(),
            place("every", spatial=True),
            nn.Conv2d(8, 16, 5, stride=2, padding=2),
            nn.ReLU(),
            place("every", spatial=True),
            nn.Flatten(),
            nn.Linear(16 * ((size + 3) // 4) ** 2, 64),
            nn.ReLU(),
            place("own"),
        )
        self.head = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Images (n, channels, size, size) to logits (n, classes)."""
        logits: Tensor = self.head(self.body(x))
        return logits


class LeNet(nn.Module):
    """LeNet-5 with ReLU and max pooling (LeCun et al. 1998, Proc. IEEE 86). 61,706 parameters for MNIST."""

    def __init__(self, channels: int, size: int, classes: int, place: Place) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, 6, 5, padding=(32 - size) // 2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            place("every", spatial=True),
            nn.Conv2d(6, 16, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),
            place("every", spatial=True),
            nn.Flatten(),
            nn.Linear(16 * 5 * 5, 120),
            nn.ReLU(),
            place("own"),
            nn.Linear(120, 84),
            nn.ReLU(),
            place("own"),
        )
        self.head = nn.Linear(84, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Images (n, channels, size, size), size 28 or 32, to logits (n, classes)."""
        logits: Tensor = self.head(self.body(x))
        return logits
