"""The published algorithm as its authors describe and release it, written plainly: one run, one sample, loops and
double backward.

log p(b) by n logsumexps in a Python loop; z given b by the same loop; the gradients of the control variate by two calls
of autograd with create_graph, and a backward pass through them for tau, eta and rho; one torch.optim.Adam for all.

References:
    Gadetsky et al., AAAI 2020, arXiv 1911.10036, section 4 and appendix.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Toy:
    """f(b) = ‖P_b - T‖² with its soft version."""

    def __init__(self, n: int = 8, eps: float = 0.05) -> None:
        self.n = n
        self.target = torch.full((n, n), 1 / n - eps / (n - 1), dtype=torch.float64)
        self.target.fill_diagonal_(1 / n + eps)

    def hard(self, order: Tensor) -> Tensor:
        return ((torch.eye(self.n, dtype=torch.float64)[order] - self.target) ** 2).sum()

    def soft(self, matrix: Tensor) -> Tensor:
        return ((matrix - self.target) ** 2).sum()


def tails(permuted: Tensor) -> Tensor:
    """logsumexp of each tail, one by one."""
    return torch.stack([torch.logsumexp(permuted[k:], 0) for k in range(len(permuted))])


def log_prob(logits: Tensor, order: Tensor) -> Tensor:
    permuted = logits[order]
    return (permuted - tails(permuted)).sum()


def conditional(logits: Tensor, order: Tensor, v: Tensor) -> Tensor:
    """Gumbels given the order."""
    gaps = torch.log(-torch.log(v)) - tails(logits[order])
    times = torch.stack([torch.logsumexp(gaps[: k + 1], 0) for k in range(len(gaps))])
    return torch.empty_like(times).scatter(0, order, -times)


def neuralsort(z: Tensor, tau: Tensor) -> Tensor:
    n = len(z)
    spread = (z.unsqueeze(1) - z.unsqueeze(0)).abs().sum(1)
    scaling = (n + 1 - 2 * torch.arange(1, n + 1)).to(z.dtype)
    return ((scaling.unsqueeze(1) * z.unsqueeze(0) - spread.unsqueeze(0)) / tau).softmax(-1)


class Step:
    """One update after another of REINFORCE, REBAR or RELAX."""

    def __init__(self, estimator: str, seed: int = 0) -> None:
        self.estimator, self.toy = estimator, Toy()
        self.theta = torch.zeros(self.toy.n, dtype=torch.float64, requires_grad=True)
        self.log_tau = torch.zeros((), dtype=torch.float64, requires_grad=True)
        self.eta = torch.ones((), dtype=torch.float64, requires_grad=True)
        self.rho = nn.Sequential(nn.Linear(self.toy.n, 32), nn.ReLU(), nn.Linear(32, 1)).double()
        trained = {
            "reinforce": [], "rebar": [self.log_tau, self.eta], "relax": [self.log_tau, *self.rho.parameters()],
        }[estimator]  # fmt: skip
        self.trained: list[Tensor] = list(trained)
        self.adam = torch.optim.Adam([self.theta, *self.trained], lr=0.01)
        self.generator = torch.Generator().manual_seed(seed)

    def _control(self, z: Tensor) -> Tensor:
        soft = self.toy.soft(neuralsort(z, self.log_tau.exp()))
        return self.eta * soft if self.estimator == "rebar" else soft + self.rho(z).squeeze(-1)

    def _uniform(self) -> Tensor:
        return torch.rand(self.toy.n, dtype=torch.float64, generator=self.generator).clamp(1e-15, 1 - 1e-15)

    def __call__(self) -> None:
        self.adam.zero_grad()
        logits = self.theta.log_softmax(-1)
        z = logits - torch.log(-torch.log(self._uniform()))
        order = z.detach().argsort(descending=True)
        value = self.toy.hard(order)
        score = torch.autograd.grad(log_prob(logits, order), self.theta, retain_graph=True)[0]
        if self.estimator == "reinforce":
            self.theta.grad = value * score
        else:
            given = conditional(logits, order, self._uniform())
            c, c_given = self._control(z), self._control(given)
            first = torch.autograd.grad(c, self.theta, create_graph=True)[0]
            second = torch.autograd.grad(c_given, self.theta, create_graph=True)[0]
            gradient = (value - c_given) * score + first - second
            for tensor, part in zip(
                self.trained, torch.autograd.grad((gradient**2).sum(), self.trained, allow_unused=True), strict=True
            ):
                tensor.grad = torch.zeros_like(tensor) if part is None else part
            self.theta.grad = gradient.detach()
        self.adam.step()
