"""A convolution with a large kernel and many channels, computed tile by tile in the frequency domain.

Overlap-save: tiles of 20 x 20 pixels, 14 x 14 results each for a kernel of 7; a product of frequencies replaces 49
shifted sums. For TransformNet's first layer (225 -> 128 channels) that is a tenth of the multiplications; the result
differs from the direct one by rounding (some 1e-6).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_TILE = 20  # pixels along a side of a tile, kernel included; 20 = 4 * 5 transforms quickly
_LEAST_CELLS = 100  # smaller maps do not fill a tile


class TiledConv2d(nn.Conv2d):
    """`nn.Conv2d` with stride 1 and padding that keeps the size; faster where no gradient is wanted, on a CPU.

    The kernel's frequencies are kept until the weights change.
    """

    _known: tuple[tuple[int, int], Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, O, H, W)."""
        small = x.shape[2] * x.shape[3] < _LEAST_CELLS
        if small or torch.is_grad_enabled() or x.device.type != "cpu" or x.dtype != torch.float32:
            return super().forward(x)
        return self._tiled(x)

    def _frequencies(self) -> Tensor:
        """(F, C, O) conjugate spectrum of the kernel: a network's convolution is a correlation."""
        key = (self.weight._version, self.weight.data_ptr())
        if self._known is None or self._known[0] != key:
            spectrum = torch.fft.rfft2(self.weight.detach(), s=(_TILE, _TILE)).conj()
            self._known = key, spectrum.permute(2, 3, 1, 0).flatten(0, 1).resolve_conj().contiguous()
        return self._known[1]

    def _tiled(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        step = _TILE - self.kernel_size[0] + 1
        down, across, pad = -(-h // step), -(-w // step), self.kernel_size[0] // 2
        padded = functional.pad(x, (pad, across * step - w + pad, pad, down * step - h + pad))
        tiles = padded.unfold(2, _TILE, step).unfold(3, _TILE, step).permute(0, 2, 3, 1, 4, 5)
        found = torch.fft.rfft2(tiles.reshape(n * down * across, c, _TILE, _TILE))
        mixed = torch.bmm(found.permute(2, 3, 0, 1).flatten(0, 1), self._frequencies())
        mixed = mixed.view(_TILE, _TILE // 2 + 1, n * down * across, -1).permute(2, 3, 0, 1)
        parts = torch.fft.irfft2(mixed, s=(_TILE, _TILE))[..., :step, :step]
        whole = parts.reshape(n, down, across, -1, step, step).permute(0, 3, 1, 4, 2, 5)
        whole = whole.reshape(n, -1, down * step, across * step)[..., :h, :w]
        return whole if self.bias is None else whole + self.bias.view(1, -1, 1, 1)
