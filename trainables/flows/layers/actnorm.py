"""A scale and a shift per channel, set on the first data."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from trainables.flows.layers.layer import Layer


class ActNorm(Layer):
    """y = (x - shift) * exp(log_scale) per channel, set on the first data to mean 0 and deviation 1 (Glow, 3.1).

    Initialisation is an explicit call (`initialising` below), made once, before DDP wraps the model; a buffer records
    it, so a loaded model is never initialised again. A constant channel keeps its scale and is listed in `constant`.
    """

    initialised: Tensor

    def __init__(self, channels: int, pictures: bool = False) -> None:
        super().__init__(pictures)
        self.shift = nn.Parameter(torch.zeros(channels))
        self.log_scale = nn.Parameter(torch.zeros(channels))
        self.register_buffer("initialised", torch.tensor(False))
        self.learning = False  # whether the next forward pass sets shift and scale
        self.constant: list[int] = []

    def forward(self, x: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if self.learning:
            self._set(x)
        y = (x - self._per_channel(self.shift)) * self._per_channel(self.log_scale.exp())
        return y, (self._pixels(x) * self.log_scale.sum()).expand(self._free(x))

    def inverse(self, y: Tensor, labels: Tensor | None = None) -> Tensor:
        return y * self._per_channel((-self.log_scale).exp()) + self._per_channel(self.shift)

    @torch.no_grad()
    def _set(self, x: Tensor) -> None:
        channels = x.movedim(-3, 0).flatten(1) if self.pictures else x.flatten(0, -2).T
        deviation, mean = torch.std_mean(channels.float(), 1, correction=0)
        flat = deviation <= 1e-5 * (1 + mean.abs())
        self.constant = flat.nonzero().flatten().tolist()
        self.shift.copy_(mean)
        self.log_scale.copy_(torch.where(flat, 0.0, -(deviation + 1e-6).log()))
        self.initialised.fill_(True)
        self.learning = False


def initialising(model: nn.Module, run: Callable[[], object]) -> dict[str, list[int]]:
    """Initialise every ActNorm of a model that has not been initialised, in one forward pass from first layer to last.

    Args:
        run: does the forward pass; at least 256 examples give stable statistics.

    Returns:
        The constant channels by layer name, where there are any.
    """
    norms = {name: module for name, module in model.named_modules() if isinstance(module, ActNorm)}
    new = {name: norm for name, norm in norms.items() if not norm.initialised}
    for norm in new.values():
        norm.learning = True
    try:
        with torch.no_grad():
            run()
    finally:
        for norm in new.values():
            norm.learning = False
    return {name: norm.constant for name, norm in new.items() if norm.constant}
