"""Scores of a flow on held-out examples, with the same noise every time, so that reports and trials are comparable."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from raybayes.contract import Context
from trainables.flows.data.examples import Examples
from trainables.flows.layers import dequantise
from trainables.flows.models.flow import SemiConditionalFlow, bits_per_dim

LOST = 1e9  # the inverse error of a flow whose inverse is not finite
_INVERTED = 64  # examples that are encoded and decoded
_CHUNK = 500  # examples scored at once; the noise depends on the chunk, not on the workers


@dataclass(frozen=True)
class Scores:
    """Scores of one set of examples.

    Args:
        nll: mean of -log p(x) in nats, of the density of what the flow sees.
        bpd: the same in bits per dimension.
        error: share of wrong labels.
        ce: mean of -log p(y|x) in nats.
        posterior: p(y|x), (n, classes), on the CPU.
        log_density: log p(x) in nats, (n,), on the CPU.
    """

    nll: float
    bpd: float
    error: float
    ce: float
    posterior: Tensor
    log_density: Tensor

    def imbalance(self, log_prior: Tensor) -> float:
        """KL(mean of p(y|x) || p(y)) in nats: large when the flow has collapsed to few classes."""
        mean = self.posterior.mean(0)
        return float((mean * (mean.clamp_min(1e-12).log() - log_prior.cpu())).sum())


@torch.no_grad()
def score(flow: SemiConditionalFlow, examples: Examples, draws: int, ctx: Context) -> Scores:
    """Score every example; workers share the work, and each gets the whole result. The flow must be in evaluation mode.

    Args:
        draws: noise draws per picture, over which its log-density and its posterior are averaged.
    """
    pieces = examples.x.split(_CHUNK)
    found = {}
    for number in range(ctx.rank, len(pieces), ctx.world_size):
        densities, posteriors = [], []
        for draw in range(draws if examples.x.dtype == torch.uint8 else 1):
            joint = flow.under_classes(flow.encode(fixed_noise(pieces[number], number, draw)))
            densities.append(joint.logsumexp(1).cpu())
            posteriors.append(joint.softmax(1).cpu())
        found[number] = torch.stack(densities).mean(0), torch.stack(posteriors).mean(0)
    whole = {number: part for rank in ctx.gather(found) for number, part in rank.items()}
    log_density = torch.cat([whole[number][0] for number in range(len(pieces))])
    posterior = torch.cat([whole[number][1] for number in range(len(pieces))])
    labels = examples.labels.cpu()
    pictures, dimensions = examples.x.dtype == torch.uint8, math.prod(examples.x.shape[1:])
    mean = log_density.mean()
    return Scores(
        nll=-float(mean),
        bpd=float(bits_per_dim(mean, dimensions, pictures)),
        error=float((posterior.argmax(1) != labels).double().mean()),
        ce=-float(posterior.gather(1, labels[:, None]).clamp_min(1e-30).log().mean()),
        posterior=posterior,
        log_density=log_density,
    )


@torch.no_grad()
def inverse_error(flow: SemiConditionalFlow, examples: Examples) -> float:
    """Largest |decode(encode(x)) - x| over the first examples, in what the flow sees; `LOST` if not finite."""
    x, labels = fixed_noise(examples.x[:_INVERTED], 0, 0), examples.labels[:_INVERTED]
    x = x.to(flow.log_prior.dtype)
    back = flow.decode(*flow.latents(x, labels), labels)
    return min(LOST, float((back - x).abs().max().nan_to_num(LOST, LOST)))


def fixed_noise(x: Tensor, chunk: int, draw: int) -> Tensor:
    """Examples as the flow takes them; pictures are dequantised with noise that depends on (chunk, draw) alone."""
    if x.dtype != torch.uint8:
        return x
    generator = torch.Generator().manual_seed(1_000_003 * draw + chunk)
    return dequantise(x, torch.rand(x.shape, generator=generator).to(x.device))
