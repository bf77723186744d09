"""A convolution with a large kernel and many channels, computed tile by tile in the frequency domain.

Overlap-save: a tile of n x n pixels gives n - 6 x n - 6 correct results for a kernel of 7; one product per frequency
replaces 49 shifted sums. For TransformNet's first layer (225 -> 128 channels) that is a tenth of the multiplications;
the result differs from the direct one by rounding (some 1e-6).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_TILES = (16, 20, 26)  # pixels along a side, kernel included
_LEAST_CELLS = 100  # smaller maps do not fill a tile


class TiledConv2d(nn.Conv2d):
    """`nn.Conv2d` with stride 1 and padding that keeps the size; faster on a CPU without gradients.

    There it computes in float32, also under autocast. The kernel's frequencies are cached until the weights change: at
    most 170 MB for 225 -> 128 channels.
    """

    _known: dict[int, tuple[tuple[int, int], Tensor]] | None = None

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, O, H, W)."""
        direct = torch.is_grad_enabled() or x.device.type != "cpu"
        if direct or x.dtype != torch.float32 or x.shape[2] * x.shape[3] < _LEAST_CELLS:
            return super().forward(x)
        with torch.autocast("cpu", enabled=False):  # float32 by frequencies is faster than bfloat16 without
            return self._tiled(x, min(_TILES, key=lambda n: self._work(x, n)))

    def _counts(self, x: Tensor, n: int) -> tuple[int, int]:
        """Number of tiles of n x n pixels, down and across."""
        step = n - self.kernel_size[0] + 1
        return -(-x.shape[2] // step), -(-x.shape[3] // step)

    def _work(self, x: Tensor, n: int) -> int:
        """Number of frequencies of all tiles of n x n pixels."""
        down, across = self._counts(x, n)
        return down * across * n * (n // 2 + 1)

    def _frequencies(self, n: int) -> Tensor:
        """(F, C, O) conjugate spectrum of the kernel: a network's convolution is a correlation."""
        self._known = {} if self._known is None else self._known
        key = (self.weight._version, self.weight.data_ptr())
        if n not in self._known or self._known[n][0] != key:
            spectrum = torch.fft.rfft2(self.weight.detach(), s=(n, n)).conj()
            self._known[n] = key, spectrum.permute(2, 3, 1, 0).flatten(0, 1).resolve_conj().contiguous()
        return self._known[n][1]

    def _tiled(self, x: Tensor, n: int) -> Tensor:
        count, c, h, w = x.shape
        (down, across), step, pad = self._counts(x, n), n - self.kernel_size[0] + 1, self.kernel_size[0] // 2
        padded = functional.pad(x, (pad, across * step - w + pad, pad, down * step - h + pad))
        tiles = padded.unfold(2, n, step).unfold(3, n, step).permute(0, 2, 3, 1, 4, 5)
        found = torch.fft.rfft2(tiles.reshape(count * down * across, c, n, n))
        mixed = torch.bmm(found.permute(2, 3, 0, 1).flatten(0, 1), self._frequencies(n))
        mixed = mixed.view(n, n // 2 + 1, count * down * across, -1).permute(2, 3, 0, 1)
        parts = torch.fft.irfft2(mixed, s=(n, n))[..., :step, :step]
        whole = parts.reshape(count, down, across, -1, step, step).permute(0, 3, 1, 4, 2, 5)
        whole = whole.reshape(count, -1, down * step, across * step)[..., :h, :w]
        out: Tensor = whole if self.bias is None else whole + self.bias.view(1, -1, 1, 1)
        return out
