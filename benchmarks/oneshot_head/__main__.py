"""The head at 320, 480 and 640 pixels: `python -m benchmarks.oneshot_head [--quick]`. About two minutes."""

from __future__ import annotations

import argparse
import functools
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks import measurement
from benchmarks.measurement import Sample
from benchmarks.oneshot_head.reference import reference_head
from trainables.oneshot.geometry.windows import Geometry, boxes_of
from trainables.oneshot.model.head import Head, normalise

RESULTS = Path(__file__).parent.parent / "results"
SIDES = (320, 480, 640)
CHANNELS, GRID, CLASSES = 1024, 15, 4
PLAIN = "published layout, plain"
BF16 = "raybayes, TransformNet in bfloat16"
NOTES = """\
`python -m benchmarks.oneshot_head` made this page. One thread; G = 15, 1024 channels, six affine parameters, inverted:
the published model V2 on features of that size (random numbers). A measurement is processor time (all threads) of one
class in one scene, from features to scores and boxes; the sides take turns in one process, and *n* rounds give the
median. *published layout, plain*: class by class, scene normalised for each, points merged into one float64 coordinate,
LU inverse, boxes from all points (`benchmarks/oneshot_head/reference.py`). *raybayes*: float32, channels folded into
the batch, closed-form boxes and inverse, scene normalised once, TransformNet's first layer by frequencies, {classes}
classes at a time; its number is divided by the classes. With bfloat16 that layer stays in float32, the others do not.
Before anything is timed, scores and boxes of both are compared: at most 1e-4 and 0.1 pixel apart.
*raybayes / side* below 1 means that raybayes took less: 0.5 is twice as fast.
"""


def heads() -> tuple[Head, Head]:
    """The same weights twice, in float32 and bfloat16; transformations differ from the identity everywhere."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        full, low = (Head(Geometry(GRID, 2, "reference"), "affine6_inverse", p).eval() for p in ("float32", "bfloat16"))
        assert full.transform is not None
        torch.nn.init.normal_(full.transform.linear.weight, 0, 0.002)
    low.load_state_dict(full.state_dict())
    return full, low


def ours(head: Head, classes: torch.Tensor, scene: torch.Tensor) -> Callable[[], tuple[torch.Tensor, torch.Tensor]]:
    """Scores and boxes of all classes."""
    aspect = torch.ones(len(classes), 2)

    def call() -> tuple[torch.Tensor, torch.Tensor]:
        with torch.no_grad():
            found = head(classes, normalise(scene), aspect)
            return found.scores[0], boxes_of(found.maps, GRID)[0]

    return call


def seconds(call: Callable[[], object]) -> float:
    """Processor time of one call."""
    began = time.process_time()
    call()
    return time.process_time() - began


def measure(rounds: int, sides: tuple[int, ...]) -> list[Sample]:
    """Sides take turns, so that a busy moment of the machine meets all of them."""
    full, low = heads()
    generator = torch.Generator().manual_seed(1)
    classes = normalise(torch.randn(CLASSES, CHANNELS, GRID, GRID, generator=generator))
    samples = []
    for side in sides:
        scene = torch.randn(1, CHANNELS, side // 16, side // 16, generator=generator)
        fast, half = ours(full, classes, scene), ours(low, classes, scene)
        check(fast(), reference_head(full, classes, scene))
        half()
        for _ in range(rounds):
            claim = f"{side} px: a class"
            samples.append(Sample(claim, measurement.REFERENCE, seconds(fast) / CLASSES))
            samples.append(Sample(claim, BF16, seconds(half) / CLASSES))
            samples.append(
                Sample(claim, PLAIN, seconds(functools.partial(reference_head, full, classes, scene)) / CLASSES)
            )
    return samples


def check(mine: tuple[torch.Tensor, torch.Tensor], theirs: tuple[torch.Tensor, torch.Tensor]) -> None:
    """Both layouts must give the same numbers; RuntimeError if not."""
    scores = float((mine[0] - theirs[0]).abs().max())
    boxes = float((mine[1].view(theirs[1].shape) - theirs[1]).abs().max())
    if scores > 1e-4 or boxes > 0.1:
        raise RuntimeError(f"the layouts differ: scores by {scores:.2g}, boxes by {boxes:.2g} pixels")


def rates(rows: list[measurement.Row]) -> str:
    """Classes per second at each size, as a table."""
    sides = list(dict.fromkeys(row.side for row in rows))
    lines = ["## Classes per second", "", f"| scene | {' | '.join(sides)} |", "|---|" + "---:|" * len(sides)]
    for claim in dict.fromkeys(row.claim for row in rows):
        cells = [f"{1 / row.median_s:.1f}" for row in rows if row.claim == claim]
        lines.append(f"| {claim.partition(':')[0]} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main(argv: list[str]) -> int:
    """Measure, print the page, keep it. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.oneshot_head", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one small scene, to see that it runs; keeps no results")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results (%(default)s)")
    options = parser.parse_args(argv)
    before, load_before = torch.get_num_threads(), measurement.load()
    torch.set_num_threads(1)
    try:
        rows = measurement.summarise(measure(1, (96,)) if options.quick else measure(9, SIDES))
    finally:
        torch.set_num_threads(before)
    machine, title = measurement.this_machine(load_before), "What the one-shot head costs"
    notes = NOTES.format(classes=CLASSES)
    page = f"{measurement.as_markdown(title, notes, rows, machine)}\n{rates(rows)}"
    if not options.quick:
        measurement.write(options.out, "oneshot_head", title, notes, rows, machine)
        (options.out / "oneshot_head.md").write_text(page, encoding="utf-8")
    print(page)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
