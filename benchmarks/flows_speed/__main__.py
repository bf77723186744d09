"""Time of a flow's training step: `python -m benchmarks.flows_speed [--quick]`. Three minutes on a quiet machine.

Other libraries are compared with where they are installed: normflows and FrEIA come with `raybayes[dev]`, nflows
(`pip install nflows`) brings tensorboard along.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from benchmarks import measurement
from benchmarks.flows_speed.costs import cost_table
from benchmarks.flows_speed.library import library_glows, own_glow
from benchmarks.measurement import Sample
from trainables.flows.config import Config
from trainables.flows.models.build import build_flow
from trainables.flows.models.flow import SemiConditionalFlow

RESULTS = Path(__file__).parent.parent / "results"
CLASSES = 10
BATCHES = {"cpu": 32, "paper": 16}
NOTES = """\
`python -m benchmarks.flows_speed` made this page. One thread, float32, processor time (all threads) of forward and
backward passes; the sides take turns in one process. *Marginal*: log p(x) of MNIST-sized pictures summed over 10
classes. *raybayes*: the trunk runs once, the head on all classes at once. *K passes, one batch*: every picture with
every label through the whole flow, as a flow that is conditioned everywhere must. *K passes, loop*: the same, class by
class. *Glow step*: the loss and its gradient on 32 pictures of 1 x 28 x 28, two levels of four 3x3-1x1-3x3 nets of
width 64 with 1x1 mixing and ActNorm. normflows and nflows have one net a coupling, so they have four couplings a level;
FrEIA and raybayes have two nets a coupling and two couplings a level; FrEIA's mixing is fixed, not learned.
*raybayes / side* below 1 means that raybayes took less.

What the presets cost, counted (multiply-accumulates of a forward pass of one picture; GFLOP of its training step):

"""


def flow_of(preset: str) -> tuple[SemiConditionalFlow, Tensor]:
    """A flow on random pictures."""
    flow = build_flow(Config(preset=preset), (1, 28, 28), CLASSES, torch.Generator().manual_seed(0)).train()
    x = torch.rand(BATCHES[preset], 1, 28, 28, generator=torch.Generator().manual_seed(1))
    flow.initialise(x)
    return flow, x


def marginals(preset: str) -> dict[str, Callable[[], None]]:
    """The sides of one preset: each computes log p(x) and its gradient."""
    flow, x = flow_of(preset)
    every = torch.arange(CLASSES)

    def shared() -> None:
        backward(flow, flow.log_marginal(x))

    def batch() -> None:
        joint = flow.log_joint(x.repeat_interleave(CLASSES, 0), every.repeat(len(x)))
        backward(flow, joint.view(-1, CLASSES).logsumexp(1))

    def loop() -> None:
        joint = [flow.log_joint(x, torch.full((len(x),), k)) for k in range(CLASSES)]
        backward(flow, torch.stack(joint, 1).logsumexp(1))

    return {"raybayes": shared, "K passes, one batch": batch, "K passes, loop": loop}


def backward(flow: torch.nn.Module, log_density: Tensor) -> None:
    """The gradient of the mean."""
    flow.zero_grad(set_to_none=True)
    (-log_density.mean()).backward()


def seconds(call: Callable[[], None]) -> float:
    """Processor time of one call."""
    began = time.process_time()
    call()
    return time.process_time() - began


def measure(presets: dict[str, int], glow: int) -> list[Sample]:
    """Sides take turns, so that a busy moment of the machine meets all of them.

    Args:
        presets: repeats by preset.
        glow: repeats of the comparison with the library.
    """
    samples = []
    tasks = [(f"marginal, preset {name}, {BATCHES[name]} pictures", marginals(name), n) for name, n in presets.items()]
    x = torch.rand(32, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    tasks.append(("Glow step, 32 pictures", {"raybayes": own_glow(x), **library_glows(x)}, glow))
    for claim, sides, n in tasks:
        for _ in range(n):
            samples += [Sample(claim, side, seconds(call)) for side, call in sides.items()]
    return samples


def main(argv: list[str]) -> int:
    """Measure, print the page, keep it. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.flows_speed", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one repeat of the small ones; keeps no results")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results (%(default)s)")
    options = parser.parse_args(argv)
    before, load_before = torch.get_num_threads(), measurement.load()
    torch.set_num_threads(1)
    try:
        found = measure({"cpu": 1}, 1) if options.quick else measure({"cpu": 5, "paper": 2}, 15)
        notes = NOTES + cost_table()
    finally:
        torch.set_num_threads(before)
    rows = measurement.summarise(found)
    machine, title = measurement.this_machine(load_before), "What a training step of a semi-conditional flow costs"
    if options.quick:
        print(measurement.as_markdown(title, notes, rows, machine))
    else:
        print(measurement.write(options.out, "flows_speed", title, notes, rows, machine))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
