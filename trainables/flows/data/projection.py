"""From raw features to what the flow sees, and back: scaled columns, or principal components."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from raybayes.errors import DataError
from trainables.flows.config import TOYS, Config, Shape


class Projection(nn.Module):
    """An affine map from raw features to what the flow sees, with its (pseudo-)inverse.

    Args:
        mean: (raw,), taken off first.
        matrix: (d, raw).
        back: (raw, d).
        shape: of a raw example.
    """

    mean: Tensor
    matrix: Tensor
    back: Tensor

    def __init__(self, mean: Tensor, matrix: Tensor, back: Tensor, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        for name, value in (("mean", mean), ("matrix", matrix), ("back", back)):
            self.register_buffer(name, value.float())

    def forward(self, raw: Tensor) -> Tensor:
        """(n, *shape) to (n, d)."""
        return (raw.flatten(1).float() - self.mean) @ self.matrix.T

    def inverse(self, x: Tensor) -> Tensor:
        """(n, d) to (n, *shape): the nearest raw example."""
        return (x @ self.back.T + self.mean).view(-1, *self.shape)


def make_projection(config: Config, raw: Tensor, names: Sequence[str], where: str) -> Projection | None:
    """Principal components of pictures, scaled by deviation^-whiten and to a mean variance of 1; or plain scaling."""
    if config.dataset in TOYS or (raw.dtype == torch.uint8 and not config.pca):
        return None
    shape = tuple(raw.shape[1:])
    x = raw.flatten(1).double() / (255 if raw.dtype == torch.uint8 else 1)
    mean = x.mean(0)
    unit = 255.0 if raw.dtype == torch.uint8 else 1.0
    if not config.pca:
        deviation = x.std(0, correction=0)
        flat = (deviation <= 1e-9 * (1 + mean.abs())).nonzero().flatten().tolist()
        if flat:
            shown = ", ".join(names[number] if names else str(number) for number in flat[:10])
            raise DataError(
                f"{where}: column(s) {shown} are constant, which have no density; drop them, or set pca > 0."
            )
        return Projection(mean, torch.diag(1 / deviation), torch.diag(deviation), shape)
    if config.pca > min(len(x) - 1, x.shape[1]):
        raise DataError(f"{where}: pca = {config.pca} of {len(x)} examples of {x.shape[1]} values; lower pca.")
    variance, basis = torch.linalg.eigh(torch.cov(x.T, correction=0))
    variance, basis = variance.flip(0)[: config.pca], basis.flip(1)[:, : config.pca]
    if variance[-1] <= 1e-12 * variance[0]:
        found = int((variance > 1e-12 * variance[0]).sum())
        raise DataError(f"{where}: pca = {config.pca}, but only {found} components vary; lower pca to {found}.")
    basis = (
        basis * basis.gather(0, basis.abs().argmax(0, keepdim=True)).sign()
    )  # the sign of an eigenvector is arbitrary
    scale = variance.pow(-config.whiten / 2)
    scale = scale / (variance * scale.square()).mean().sqrt()
    return Projection(mean * unit, (basis * scale).T / unit, basis / scale * unit, shape)
