"""Time of an update on the paper's toy: `python -m benchmarks.permutations_speed [--quick]`. About a minute."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import torch

from benchmarks import measurement
from benchmarks.measurement import Sample
from benchmarks.permutations_speed.reference import Step
from trainables.permutations.config import Config
from trainables.permutations.costs import Recorder
from trainables.permutations.estimators.build import build_estimator, build_model
from trainables.permutations.optimiser import OrderOptimiser
from trainables.permutations.tasks.problem import Free
from trainables.permutations.tasks.toy import ToyCost

RUNS = 64
PUBLISHED = "published algorithm, plain"
NOTES = """\
`python -m benchmarks.permutations_speed` made this page. One thread, float64, n = 8, one sample an update: the paper's
toy. Each measurement is the mean processor time (all threads) of an update in a block of 30; the sides take turns block
by block in one process, and *n* blocks give the median. *published algorithm, plain*: Python loops of logsumexp,
autograd with create_graph (double backward), torch.optim.Adam, one run (`benchmarks/permutations_speed/reference.py`).
*raybayes*: closed-form inner gradients, one ordinary backward pass; with 64 runs at once the time of a batched update
is divided by 64. *raybayes / side* below 1 means that raybayes took less: 0.33 is three times as fast, 0.02 fifty.
"""


def ours(estimator: str, runs: int) -> Callable[[], None]:
    """One update of `runs` runs."""
    config = Config(estimator=estimator, runs=runs)
    like = torch.zeros(runs, 1, dtype=torch.float64)
    model, generator = build_model(config), torch.Generator().manual_seed(0)
    cost = ToyCost(8, 0.05, like)
    recorder = Recorder(cost, runs, torch.float64, like.device)
    policy = Free(torch.zeros(runs, 8, dtype=torch.float64))
    optimiser = OrderOptimiser(policy, build_estimator(config, model, 8, like, generator), recorder, 1, config.lr)

    def update() -> None:
        optimiser.update(generator)

    return update


def seconds(update: Callable[[], None], count: int) -> float:
    """The mean processor time of `count` updates."""
    began = time.process_time()
    for _ in range(count):
        update()
    return (time.process_time() - began) / count


def measure(blocks: int, count: int) -> list[Sample]:
    """Sides take turns, so that a busy moment of the machine meets all of them."""
    samples = []
    for estimator in ("reinforce", "rebar", "relax"):
        name = estimator.upper()
        sides: dict[tuple[str, str], tuple[Callable[[], None], int]] = {
            ("one run", "raybayes"): (ours(estimator, 1), 1),
            ("one run", PUBLISHED): (Step(estimator), 1),
            (f"{RUNS} runs at once, per run", "raybayes"): (ours(estimator, RUNS), RUNS),
        }
        for update, _ in sides.values():
            seconds(update, 5)
        for _ in range(blocks):
            for (what, side), (update, runs) in sides.items():
                found = seconds(update, count) / runs
                samples.append(Sample(f"{name}, {what}: an update", side, found))
                if side == PUBLISHED:
                    samples.append(Sample(f"{name}, {RUNS} runs at once, per run: an update", side, found))
    claims = list(dict.fromkeys(sample.claim for sample in samples))
    return sorted(samples, key=lambda sample: (claims.index(sample.claim), sample.side != "raybayes"))


def main(argv: list[str]) -> int:
    """Measure, print the page, keep it. Returns the exit code."""
    options = measurement.parser("permutations_speed", __doc__, "few updates").parse_args(argv)
    before, load_before = torch.get_num_threads(), measurement.load()
    torch.set_num_threads(1)
    try:
        samples = measure(2, 3) if options.quick else measure(30, 30)
    finally:
        torch.set_num_threads(before)
    title = "What an update of a Plackett-Luce gradient costs"
    return measurement.publish(options, "permutations_speed", title, NOTES, samples, load_before)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
