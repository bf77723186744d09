"""Trace of the gradient's covariance on the paper's toy: `python -m benchmarks.permutations_speed.variance`.

One estimate each (RLOO: of K samples), 20,000 estimates, at theta = 0, linspace(1, -1), linspace(3, -3); control
variates as they start and after 500 variance steps of 16 samples at a step size of 0.02.
"""

from __future__ import annotations

import sys

import torch

from trainables.permutations.build import build_estimator, build_model
from trainables.permutations.config import Config
from trainables.permutations.costs import Recorder
from trainables.permutations.optimiser import OrderOptimiser
from trainables.permutations.tasks.problem import Free
from trainables.permutations.tasks.toy import ToyCost

ESTIMATES = 20_000
THETAS = (torch.zeros(8), torch.linspace(1, -1, 8), torch.linspace(3, -3, 8))
ROWS = [
    ("REINFORCE", {"estimator": "reinforce"}, 0),
    ("E-REINFORCE", {"estimator": "e_reinforce"}, 0),
    ("RLOO, K = 2", {"estimator": "rloo", "samples": 2}, 0),
    ("RLOO, K = 3", {"estimator": "rloo", "samples": 3}, 0),
    ("RLOO, K = 10", {"estimator": "rloo", "samples": 10}, 0),
    ("REINFORCE, moving average", {"estimator": "reinforce_ema"}, 500),
    ("REBAR, untrained", {"estimator": "rebar"}, 0),
    ("REBAR, 500 steps", {"estimator": "rebar"}, 500),
    ("RELAX, untrained", {"estimator": "relax"}, 0),
    ("RELAX, 500 steps", {"estimator": "relax"}, 500),
    ("centred RELAX, 500 steps", {"estimator": "relax_centred"}, 500),
]


def variance(values: dict[str, object], steps: int, theta: torch.Tensor) -> float:
    """The trace, measured on fresh samples."""
    config = Config.model_validate(values)
    at = theta.double().unsqueeze(0)
    generator, model = torch.Generator().manual_seed(0), build_model(config)
    recorder = Recorder(ToyCost(8, 0.05, at), 1, torch.float64, at.device)
    estimator = build_estimator(config, model, 8, at, generator)
    optimiser = OrderOptimiser(Free(at.clone()), estimator, recorder, 16, config.lr, 0.02)
    for _ in range(steps):
        optimiser.train_critic(generator)
    with torch.no_grad():
        found = estimator.estimate(at, recorder, config.samples, generator, groups=ESTIMATES, look=True)
    return float(found.gradient[0].unflatten(0, (ESTIMATES, config.samples)).mean(1).var(0).sum())


def main() -> int:
    """Print the table."""
    torch.set_num_threads(1)
    print("| estimator | theta = 0 | linspace(1, -1) | linspace(3, -3) |\n|---|---:|---:|---:|")
    for name, values, steps in ROWS:
        cells = [f"{variance(values, steps, theta):.4g}" for theta in THETAS]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
