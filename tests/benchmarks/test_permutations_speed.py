"""The published algorithm beside which steps are timed."""

import pytest
import torch

from benchmarks.permutations_speed.reference import Step


@pytest.mark.parametrize("estimator", ["reinforce", "rebar", "relax"])
def test_the_published_algorithm_learns_the_toy(estimator):
    step = Step(estimator)
    for _ in range(3):
        step()
    assert torch.isfinite(step.theta).all()
    assert step.theta.abs().max() > 0
