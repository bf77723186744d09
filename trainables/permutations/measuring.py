"""What a report measures: E f, the variance of the gradient, the most probable order; from fresh samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from trainables.permutations.costs import Recorder
from trainables.permutations.distributions.models import Model
from trainables.permutations.estimators import Estimator, Exact

GROUPS = 32  # least number of whole updates per variance: its logarithm is then accurate to about ± 0.25
SMALLEST = 1e-12  # standard deviations below it count as this, so that the logarithm is finite


@dataclass(frozen=True)
class Measured:
    """One number per row.

    Args:
        expected: E f, from fresh samples (exact for the exact estimator).
        log_grad_var: 2 log of the mean over parameters of the gradient estimate's standard deviation.
        mode: f of the most probable order, ties broken at random.
    """

    expected: Tensor
    log_grad_var: Tensor
    mode: Tensor
    mode_order: Tensor

    def of(self, rows: Tensor) -> Measured:
        """The measurements of some of the rows."""
        return Measured(self.expected[rows], self.log_grad_var[rows], self.mode[rows], self.mode_order[rows])


def measure(
    theta: Tensor,
    estimator: Estimator,
    model: Model,
    f: Recorder,
    samples: int,
    eval_samples: int,
    generator: torch.Generator,
    shared: torch.Generator,
    mask: Tensor | None,
    reduce: Callable[[Tensor], Tensor],
) -> Measured:
    """Draw at least `eval_samples` samples in at least 32 groups of `samples`; none is counted or recorded as best.

    Args:
        generator: this worker's own.
        shared: the same on all workers.
        reduce: the mean over workers: with W of them, the gradient whose variance is measured is their mean.
    """
    groups = max(GROUPS, -(-eval_samples // samples))
    with torch.no_grad():
        theta = theta.detach()
        mode = model.mode(theta, shared)
        at_mode = f.look(mode.unsqueeze(1)).squeeze(1)
        if isinstance(estimator, Exact):
            expected, _ = estimator.expectation(theta, f)
            return Measured(expected, torch.full_like(expected, float(2 * torch.tensor(SMALLEST).log())), at_mode, mode)
        estimate = estimator.estimate(theta, f, samples, generator, groups=groups, look=True)
        gradient = reduce(estimate.gradient.unflatten(1, (groups, samples)).mean(2)).flatten(2)
        deviation = gradient.std(1, unbiased=False)
        mean = deviation.mean(-1) if mask is None else (deviation * mask).sum(-1) / mask.sum(-1)
        values = reduce(estimate.expected)
    return Measured(values, 2 * mean.clamp_min(SMALLEST).log(), at_mode, mode)
