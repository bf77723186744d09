"""The semi-conditional flow: an explicit density of examples and labels whose marginal costs one deep pass.

    (z_f, z_aux) = f(x)          the trunk: deep, never sees y
    z_h = h(z_f; y)              the head: small, conditional, on the deep part alone

    log p(x, y) = a(x) + b(z_f, y),   a = log|det df/dx| + log N(z_aux),   b = log|det dh/dz_f| + log N(z_h) + log p(y)
    log p(x) = a(x) + logsumexp_k b(z_f, k),      p(y = k | x) = softmax_k b(z_f, k)

Source: Atanov, Volokhova, Ashukha, Sosnovik, Vetrov, Semi-Conditional Normalizing Flows for Semi-Supervised Learning,
2019 (arXiv 1905.00505).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from trainables.flows.layers import ActNorm, Layer, LayerList, Split, initialising, log_normal


class Encoded(NamedTuple):
    """What the trunk makes of a batch: `deep` (batch, d), `gone` (batch, D - d), `a` (batch,) in nats."""

    deep: Tensor
    gone: Tensor
    a: Tensor


class Terms(NamedTuple):
    """Log-densities in nats that objectives are made of.

    Args:
        joint: log p(x, y) of the labelled examples, (labelled,).
        labelled: log p(x, k) of the same for every class, (labelled, classes), or None if not requested.
        unlabelled: log p(x, k) of the others, (unlabelled, classes).
    """

    joint: Tensor
    labelled: Tensor | None
    unlabelled: Tensor


class Trunk(nn.Module):
    """f: layers and splits one after the other.

    Args:
        gone: shapes of what the splits let go, in order.
        deep: shape of what is left.
    """

    def __init__(self, layers: Sequence[Layer | Split], gone: Sequence[tuple[int, ...]], deep: tuple[int, ...]) -> None:
        super().__init__()
        self.layers: LayerList[Layer | Split] = LayerList(layers)
        self.gone, self.deep = tuple(gone), deep

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(batch, d), (batch, D - d), log|det| (batch,)."""
        log_det = x.new_zeros(len(x))
        gone = [x.new_zeros(len(x), 0)]
        for layer in self.layers:
            if isinstance(layer, Split):
                left, x = layer(x)
                gone.append(left.flatten(1))
            else:
                x, change = layer(x)
                log_det = log_det + change
        return x.flatten(1), torch.cat(gone, 1), log_det

    def inverse(self, deep: Tensor, gone: Tensor) -> Tensor:
        """x from (batch, d) and (batch, D - d)."""
        parts = list(gone.split([math.prod(shape) for shape in self.gone], 1)) if self.gone else []
        x = deep.view(-1, *self.deep)
        for layer in reversed(list(self.layers)):
            if isinstance(layer, Split):
                x = layer.inverse(parts[-1].view(-1, *self.gone[len(parts) - 1]), x)
                parts.pop()
            else:
                x = layer.inverse(x)
        return x


class Head(nn.Module):
    """h: levels of conditional layers on vectors; after each level but the last the first half leaves to N(0, I)."""

    def __init__(self, levels: Sequence[Sequence[Layer]], dimensions: int) -> None:
        super().__init__()
        self.levels: LayerList[LayerList[Layer]] = LayerList(LayerList(level) for level in levels)
        self.splits: list[Split] = []
        for _ in range(len(levels) - 1):
            self.splits.append(Split(dimensions, pictures=False))
            dimensions = self.splits[-1].sizes[1]

    def forward(self, z: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """z_h of the shape of labels and z together, and log|det|."""
        free = torch.broadcast_shapes(z.shape[:-1], labels.shape)
        log_det, gone = z.new_zeros(free), []
        for number, level in enumerate(self.levels):
            for layer in level:
                z, change = layer(z, labels)
                log_det = log_det + change
            if number < len(self.splits):
                left, z = self.splits[number](z)
                gone.append(left.expand(*free, -1))
        return torch.cat([*gone, z.expand(*free, -1)], -1), log_det

    def inverse(self, z: Tensor, labels: Tensor) -> Tensor:
        """z_f from z_h (..., d) and labels of the shape of its first axes."""
        gone = []
        for split in self.splits:
            left, z = split(z)
            gone.append(left)
        for number in reversed(range(len(self.levels))):
            if number < len(self.splits):
                z = self.splits[number].inverse(gone[number], z)
            for layer in reversed(list(self.levels[number])):
                z = layer.inverse(z, labels)
        return z


class ClassShift(Layer):
    """z_h = z_f - mean of the class: a Gaussian mixture in the latent space, as in FlowGMM (Izmailov et al. 2020)."""

    def __init__(self, classes: int, dimensions: int, spread: float, generator: torch.Generator) -> None:
        super().__init__()
        self.means = nn.Parameter(torch.empty(classes, dimensions).normal_(0, 1, generator=generator) * spread)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        y = x - self.means[labels]
        return y, y.new_zeros(y.shape[:-1])

    def inverse(self, y: Tensor, labels: Tensor | None = None) -> Tensor:
        return y + self.means[labels]


class SemiConditionalFlow(nn.Module):
    """The joint density of examples and labels.

    Args:
        trunk: f.
        head: h.
        log_prior: log p(y), (classes,).
        class_chunk: how many classes the head evaluates at once; 0: all.
    """

    log_prior: Tensor

    def __init__(self, trunk: Trunk, head: Head, log_prior: Tensor, class_chunk: int = 0) -> None:
        super().__init__()
        self.trunk, self.head = trunk, head
        self.register_buffer("log_prior", log_prior)
        self.class_chunk = class_chunk or len(log_prior)

    @property
    def classes(self) -> int:
        return len(self.log_prior)

    def forward(self, x: Tensor, labels: Tensor, every_class: bool = False) -> Terms:
        """The terms of a training batch whose first rows are the labelled ones.

        Args:
            x: (labelled + unlabelled, ...).
            labels: (labelled,) int64.
            every_class: whether the labelled examples are scored under every class too.
        """
        n = len(labels)
        deep, _, a = encoded = self.encode(x)
        if every_class:
            under = self.under_classes(encoded)
            return Terms(under[:n].gather(1, labels[:, None])[:, 0], under[:n], under[n:])
        others = self.under_classes(Encoded(*(part[n:] for part in encoded)))
        return Terms(a[:n] + self.b(deep[:n], labels), None, others)

    def encode(self, x: Tensor) -> Encoded:
        """One pass of the trunk."""
        deep, gone, log_det = self.trunk(x)
        return Encoded(deep, gone, log_det + log_normal(gone, (1,)))

    def b(self, deep: Tensor, labels: Tensor) -> Tensor:
        """b(z_f, y): z_f (..., d) and labels of any shape that fits its first axes."""
        z, log_det = self.head(deep, labels)
        b: Tensor = log_det + log_normal(z, (-1,)) + self.log_prior[labels]
        return b

    def under_classes(self, encoded: Encoded) -> Tensor:
        """log p(x, k) for every class, (batch, classes)."""
        parts = []
        for numbers in torch.arange(self.classes, device=encoded.a.device).split(self.class_chunk):
            if self.class_chunk < self.classes and torch.is_grad_enabled():
                parts.append(checkpoint(self.b, encoded.deep[:, None], numbers, use_reentrant=False))
            else:
                parts.append(self.b(encoded.deep[:, None], numbers))
        return encoded.a[:, None] + torch.cat(parts, 1)

    def log_joint(self, x: Tensor, labels: Tensor) -> Tensor:
        """log p(x, y), (batch,)."""
        encoded = self.encode(x)
        return encoded.a + self.b(encoded.deep, labels)

    def log_marginal(self, x: Tensor) -> Tensor:
        """log p(x), (batch,)."""
        return self.under_classes(self.encode(x)).logsumexp(1)

    def log_posterior(self, x: Tensor) -> Tensor:
        """log p(y | x), (batch, classes)."""
        return self.under_classes(self.encode(x)).log_softmax(1)

    @torch.no_grad()
    def initialise(self, x: Tensor) -> dict[str, list[int]]:
        """Initialise every ActNorm that has not been; returns constant channels by layer (`layers.initialising`).

        All classes are evaluated at once, whatever `class_chunk`: statistics of some of them would be of another flow.
        """
        every = torch.arange(self.classes, device=x.device)
        return initialising(self, lambda: self.b(self.encode(x).deep[:, None], every))

    @property
    def initialised(self) -> bool:
        """Whether every ActNorm has been initialised."""
        return all(bool(module.initialised) for module in self.modules() if isinstance(module, ActNorm))

    # -- from latents to examples ----------------------------------------------------------------------------

    def latents(self, x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """(z_h, z_aux): all latents of examples under their labels, standard normal under the model."""
        deep, gone, _ = self.trunk(x)
        return self.head(deep, labels)[0], gone

    def decode(self, z: Tensor, gone: Tensor, labels: Tensor) -> Tensor:
        """The examples that latents stand for."""
        return self.trunk.inverse(self.head.inverse(z, labels), gone)

    @torch.no_grad()
    def sample(self, labels: Tensor | int, generator: torch.Generator, temperature: float = 1.0) -> Tensor:
        """Draw examples.

        Args:
            labels: one label an example, or how many examples to draw with labels from p(y).
            generator: on the CPU; the same one gives the same samples on every device.
            temperature: deviation of the latents; below 1: closer to the mode.

        Returns:
            (n, ...), as the flow sees examples: pictures in [0, 1), vectors.
        """
        device = self.log_prior.device
        if isinstance(labels, int):
            drawn = torch.multinomial(self.log_prior.exp().cpu(), labels, replacement=True, generator=generator)
            labels = drawn.to(device)
        d, total = math.prod(self.trunk.deep), math.prod(self.trunk.deep) + sum(map(math.prod, self.trunk.gone))
        z = (torch.randn(len(labels), total, generator=generator) * temperature).to(self.log_prior)
        return self.decode(z[:, :d], z[:, d:], labels)

    @torch.no_grad()
    def interpolate(self, first: Tensor, last: Tensor, labels: Tensor, n: int) -> Tensor:
        """Examples between two, along a great circle of their latents under one label: (pairs, n, ...).

        Args:
            first, last: (pairs, ...).
            labels: (pairs,).
            n: examples a pair, the two ends included.
        """
        start, end = (torch.cat(self.latents(x, labels), 1) for x in (first, last))
        d = math.prod(self.trunk.deep)
        rows = []
        for weight in torch.linspace(0, 1, n).tolist():
            z = great_circle(start, end, weight)
            rows.append(self.decode(z[:, :d], z[:, d:], labels))
        return torch.stack(rows, 1)


def great_circle(first: Tensor, last: Tensor, weight: float) -> Tensor:
    """Between two latents, lengths changing evenly and not through the origin; straight where they are parallel."""
    norms = first.norm(dim=1, keepdim=True), last.norm(dim=1, keepdim=True)
    cosine = ((first * last).sum(1, keepdim=True) / (norms[0] * norms[1]).clamp_min(1e-12)).clamp(-1, 1)
    angle = cosine.arccos()
    straight = angle.sin() < 1e-4
    safe = torch.where(straight, torch.ones_like(angle), angle)
    near = torch.where(straight, 1 - weight, torch.sin((1 - weight) * safe) / safe.sin())
    far = torch.where(straight, torch.full_like(angle, weight), torch.sin(weight * safe) / safe.sin())
    return near * first + far * last


def bits_per_dim(log_density: Tensor, dimensions: int, pictures: bool) -> Tensor:
    """-log2 p / D; pictures of whole brightness values get the 8 bits of each dequantised pixel."""
    return (8.0 if pictures else 0.0) - log_density / (dimensions * math.log(2))
