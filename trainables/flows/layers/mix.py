"""An invertible linear map over channels."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainables.flows.layers.layer import Layer

MixForm = Literal["lu", "dense"]
MixStart = Literal["eye", "orthogonal"]


class Mix(Layer):
    """y = W x over channels, at every pixel (the invertible 1x1 convolution of Glow, 3.2).

    Form lu: W = P L (U + diag(sign exp(s))) with P and sign fixed, so log|det W| = sum(s) costs nothing and the
    inverse is two triangular solves. Form dense: any W, determinant and inverse in float64.
    """

    order: Tensor
    sign: Tensor

    def __init__(
        self,
        channels: int,
        pictures: bool = False,
        form: MixForm = "lu",
        start: MixStart = "eye",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(pictures)
        self.form = form
        weight = torch.eye(channels)
        if start == "orthogonal":
            weight = torch.linalg.qr(torch.randn(channels, channels, generator=generator)).Q
        if form == "dense":
            self.weight = nn.Parameter(weight.contiguous())
            return
        permutation, lower, upper = torch.linalg.lu(weight)
        diagonal = upper.diagonal()
        self.permuted = start != "eye"
        self.register_buffer("order", permutation.argmax(1))  # row i of P L U is row order[i] of L U
        self.register_buffer("sign", diagonal.sign())
        self.log_diagonal = nn.Parameter(diagonal.abs().log())
        self.triangles = nn.Parameter(lower.tril(-1) + upper.triu(1))  # L below the diagonal, U above it

    def factors(self) -> tuple[Tensor, Tensor]:
        """L without its diagonal of ones, and U with its diagonal; form lu only."""
        return self.triangles.tril(-1), self.triangles.triu(1) + torch.diag(self.sign * self.log_diagonal.exp())

    def matrix(self) -> Tensor:
        """W, (channels, channels)."""
        if self.form == "dense":
            return self.weight
        lower, upper = self.factors()
        product = torch.addmm(upper, lower, upper)
        return product[self.order] if self.permuted else product

    def log_det(self) -> Tensor:
        """log|det W|."""
        if self.form == "dense":
            log_det: Tensor = torch.linalg.slogdet(self.weight.double()).logabsdet
            return log_det.to(self.weight.dtype)
        return self.log_diagonal.sum()

    def forward(self, x: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        log_det = (self._pixels(x) * self.log_det()).expand(self._free(x))
        weight = self.matrix()
        y = functional.conv2d(x, weight[:, :, None, None]) if self.pictures else functional.linear(x, weight)
        return y, log_det

    def inverse(self, y: Tensor, labels: Tensor | None = None) -> Tensor:
        rows = y.movedim(-3, -1) if self.pictures else y
        columns = rows.flatten(0, -2).T
        if self.form == "dense":
            solved: Tensor = torch.linalg.solve(self.weight.double(), columns.double()).to(y.dtype)
        else:
            lower, upper = self.factors()
            inner = torch.linalg.solve_triangular(lower, columns[self.order.argsort()], upper=False, unitriangular=True)
            solved = torch.linalg.solve_triangular(upper, inner, upper=True)
        x = solved.T.reshape(rows.shape)
        return x.movedim(-1, -3).contiguous() if self.pictures else x
