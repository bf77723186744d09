"""Trace of the gradient's covariance on the paper's toy: `python -m benchmarks.permutations_variance [--quick]`.

One estimate each (RLOO: of K samples), 20,000 estimates, at theta = 0, linspace(1, -1), linspace(3, -3); control
variates as they start, after steps of 16 samples at a step size of 0.02, and at their best temperature and scale.
Below, what training on a relaxed toy reaches. About two minutes of one core.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from benchmarks import measurement
from trainables.permutations.config import Config
from trainables.permutations.costs import Recorder
from trainables.permutations.distributions.plackett_luce import all_orderings, log_prob, score
from trainables.permutations.estimators import Estimator, Exact
from trainables.permutations.estimators.build import build_estimator, build_model
from trainables.permutations.optimiser import OrderOptimiser
from trainables.permutations.tasks.problem import Free
from trainables.permutations.tasks.toy import ToyCost

N, EPS = 8, 0.05
THETAS = {
    "theta = 0": torch.zeros(N),
    "linspace(1, -1)": torch.linspace(1, -1, N),
    "linspace(3, -3)": torch.linspace(3, -3, N),
}
TAUS = (0.3, 0.5, 1.0, 2.0, 3.0)
TRAINED = (("rebar", 500), ("rebar", 2000), ("relax", 500), ("relax", 2000), ("relax_centred", 500),
           ("relax_centred", 2000))  # fmt: skip
RELAXED = (
    {"estimator": "relaxation"},
    {"estimator": "relaxation", "relaxation": {"tau": 0.1}},
    {"estimator": "straight_through"},
    {"estimator": "straight_through", "relaxation": {"tau": 0.1}},
    {"estimator": "sinkhorn"},
    {"estimator": "sinkhorn", "relaxation": {"tau": 0.1}},
    {"estimator": "gaussian"},
    {"estimator": "rloo"},
)
Row = tuple[str, str, float]  # what, at which theta, value


class Side:
    """An estimator at a fixed theta."""

    def __init__(self, values: dict[str, Any], theta: Tensor, estimates: int) -> None:
        self._config, self._estimates = Config.model_validate(values), estimates
        self._theta = theta.double().unsqueeze(0)
        self._generator = torch.Generator().manual_seed(0)
        model = build_model(self._config)
        self._recorder = Recorder(ToyCost(N, EPS, self._theta), 1, torch.float64, self._theta.device)
        self.estimator: Estimator = build_estimator(self._config, model, N, self._theta, self._generator)

    def train(self, steps: int) -> None:
        """Steps on the control variate, or of the moving averages, with theta as it is."""
        free = Free(self._theta.clone())
        optimiser = OrderOptimiser(free, self.estimator, self._recorder, 16, self._config.lr, 0.02)
        for _ in range(steps):
            optimiser.train_critic(self._generator)

    @torch.no_grad()
    def variance(self, seed: int = 1) -> float:
        """The trace, on fresh samples; the same seed draws the same noise."""
        samples, generator = self._config.samples, torch.Generator().manual_seed(seed)
        found = self.estimator.estimate(self._theta, self._recorder, samples, generator, self._estimates, look=True)
        return float(found.gradient[0].unflatten(0, (self._estimates, samples)).mean(1).var(0).sum())


def constant_baseline(theta: Tensor, a: float | None) -> tuple[float, float]:
    """Exact trace with a constant baseline (None: the best one), and that constant; by enumeration."""
    logits, orders = theta.double(), all_orderings(N)
    weights, values = log_prob(logits, orders).exp(), ToyCost(N, EPS, logits)(orders)
    squares = score(logits.expand(len(orders), -1), orders).square().sum(-1)
    best = float((weights * values * squares).sum() / (weights * squares).sum())
    used = best if a is None else a
    _, gradient = moments(theta)
    return float((weights * (values - used) ** 2 * squares).sum() - gradient.square().sum()), used


def moments(theta: Tensor) -> tuple[float, Tensor]:
    """Exact E f and gradient."""
    at = theta.double().unsqueeze(0)
    recorder = Recorder(ToyCost(N, EPS, at), 1, torch.float64, at.device)
    mean, gradient = Exact(N, at.device).expectation(at, recorder)
    return float(mean), gradient[0]


def best_rebar(theta: Tensor, estimates: int, centre: float | None) -> tuple[float, float, float]:
    """The least variance over temperatures and scales, and where. In eta it is a parabola: three points give it."""
    found = []
    for tau in TAUS:
        estimator = "rebar" if centre is None else "rebar_centred"
        side = Side({"estimator": estimator, "critic": {"tau": tau}}, theta, estimates)
        if centre is not None:
            side.estimator.observe(torch.tensor([[centre, 0.0, 0.0]], dtype=torch.float64))
        eta = side.estimator.parameters()[1]
        at = []
        for value in (0.0, 1.0, 2.0):
            eta.fill_(value)
            at.append(side.variance())
        bend, slope = (at[2] - 2 * at[1] + at[0]) / 2, (4 * at[1] - 3 * at[0] - at[2]) / 2
        lowest = -slope / (2 * bend)
        found.append((at[0] + slope * lowest + bend * lowest**2, tau, lowest))
    return min(found)


def rows(estimates: int, shorten: int) -> Iterator[Row]:
    """The table, row by row."""
    for name, theta in THETAS.items():
        mean, gradient = moments(theta)
        yield "norm of the exact gradient", name, float(gradient.norm())
        yield "REINFORCE, exact", name, constant_baseline(theta, 0.0)[0]
        least, best = constant_baseline(theta, None)
        yield "best constant baseline, exact", name, least
        yield "the best constant", name, best
        yield "REINFORCE", name, Side({"estimator": "reinforce"}, theta, estimates).variance()
        for k in (2, 3, 10):
            yield f"RLOO, K = {k}", name, Side({"estimator": "rloo", "samples": k}, theta, estimates).variance()
        yield "E-REINFORCE", name, Side({"estimator": "e_reinforce"}, theta, estimates).variance()
        for title, estimator in (("E-REINFORCE", "e_reinforce_ema"), ("REINFORCE", "reinforce_ema")):
            side = Side({"estimator": estimator}, theta, estimates)
            side.estimator.observe(torch.tensor([[mean, 0.0, 0.0]], dtype=torch.float64))
            yield f"{title}, E f as baseline", name, side.variance()
        yield "REBAR, tau = 1, eta = 1", name, Side({"estimator": "rebar"}, theta, estimates).variance()
        for title, centre in (("REBAR", None), ("centred REBAR", mean)):
            value, tau, eta = best_rebar(theta, estimates, centre)
            yield f"{title}, best", name, value
            yield f"{title}, its tau", name, tau
            yield f"{title}, its eta", name, eta
        yield "RELAX, untrained", name, Side({"estimator": "relax"}, theta, estimates).variance()
        for estimator, steps in TRAINED:
            side = Side({"estimator": estimator}, theta, estimates)
            side.train(steps // shorten)
            yield f"{estimator}, {steps} steps", name, side.variance()


def relaxed_training(shorten: int) -> Iterator[Row]:
    """Hard E f after 3,000 updates of 10 samples; a random order has 7.0229, the optimum 6.2229."""
    for values in RELAXED:
        config = Config.model_validate({**values, "samples": 10, "lr": 0.01})
        model, generator = build_model(config), torch.Generator().manual_seed(0)
        theta = torch.zeros(8, *model.shape(N), dtype=torch.float64)
        recorder = Recorder(ToyCost(N, EPS, theta), 8, torch.float64, theta.device)
        estimator = build_estimator(config, model, N, theta, generator)
        optimiser = OrderOptimiser(Free(theta), estimator, recorder, 10, config.lr)
        for _ in range(3000 // shorten):
            optimiser.update(generator)
        with torch.no_grad():
            costs = estimator.estimate(theta, recorder, 10, generator, groups=200, look=True).values.mean(1)
        title = f"{config.estimator}, tau = {config.relaxation.tau:g}" if "relaxation" in values else config.estimator
        yield title, "E f, mean of 8 runs", float(costs.mean())
        yield title, "its standard error", float(costs.std() / 8**0.5)


def as_markdown(found: list[Row], title: str) -> str:
    """What by rows, where by columns."""
    at = list(dict.fromkeys(where for _, where, _ in found))
    lines = [f"| {title} | {' | '.join(at)} |", f"|---|{'---:|' * len(at)}"]
    for what in dict.fromkeys(what for what, _, _ in found):
        cells = [f"{value:.4g}" for where in at for name, place, value in found if (name, place) == (what, where)]
        lines.append(f"| {what} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(argv: list[str]) -> int:
    """Measure, print and keep the tables. Returns the exit code."""
    options = measurement.parser("permutations_variance", __doc__, "few estimates").parse_args(argv)
    before, threads = measurement.load(), torch.get_num_threads()
    torch.set_num_threads(1)
    shorten = 100 if options.quick else 1
    tables: dict[str, Callable[[], Iterator[Row]]] = {
        "estimator": lambda: rows(20_000 // shorten, shorten), "trained by": lambda: relaxed_training(shorten),
    }  # fmt: skip
    try:
        found = {title: list(make()) for title, make in tables.items()}
    finally:
        torch.set_num_threads(threads)
    pages = [as_markdown(listed, title) for title, listed in found.items()]
    print("\n\n".join(pages))
    if options.quick:
        return 0
    machine = measurement.this_machine(before)
    head = ["# Permutations: variance of one gradient estimate", "", (__doc__ or "").split("\n\n", 1)[1].strip(), "",
            f"`python -m benchmarks.permutations_variance`, {machine.date}, {machine.versions}."]  # fmt: skip
    options.out.mkdir(parents=True, exist_ok=True)
    page = "\n\n".join(["\n".join(head), *pages]) + "\n"
    (options.out / "permutations_variance.md").write_text(page, encoding="utf-8")
    listed = [dict(zip(("what", "at", "value"), row, strict=True)) for part in found.values() for row in part]
    pq.write_table(pa.Table.from_pylist(listed), options.out / "permutations_variance.parquet")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
