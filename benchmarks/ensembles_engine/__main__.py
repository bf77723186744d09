"""The measurements in order: `python -m benchmarks.ensembles_engine [--quick] [--device cuda]`."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

import numpy as np

from benchmarks import measurement
from benchmarks.ensembles_engine.epochs import ENGINES, one_epoch
from benchmarks.ensembles_engine.protocol import scored
from benchmarks.measurement import Sample

REFERENCE = "the paper's protocol"
NOTES = """\
`python -m benchmarks.ensembles_engine` made this page. One thread a side, each side in a process of its own; the sides
take turns; medians over *n* repeats, low and high are the extremes. On a processor the seconds are those of the process
(its CPU time), so that a busy machine does not distort them; on a GPU they are wall time. *raybayes* is `engine: auto`;
the engine that it chose most often stands in brackets behind each claim. *raybayes / side* below 1: raybayes took less.

* An epoch: K members of a deep ensemble, each over its own order of {images} MNIST images with its own random shifts,
  after a warm epoch. The timed steps by which `auto` chooses (nine of each engine's) are not part of it.
* Scores of the sizes 1 .. K: log-likelihood, error, Brier score, calibration error and AURC, raw and calibrated by
  test-time cross-validation in 5 x 2 halves. The paper's protocol averages all members anew for each K and fits each
  temperature by Nelder-Mead; raybayes adds one member at a time and fits by Newton's method. Both give the same CLL
  (largest difference seen: {gap:.1e} nats). Of every five sizes the third is scored. The protocol then does a
  fifth of its work and raybayes more than a fifth, for it adds every member: with all sizes the ratio is smaller still.
"""


@dataclass(frozen=True)
class Counts:
    """How much is measured."""

    images: int = 384
    repeats: int = 3
    members: tuple[int, ...] = (4, 8, 16)
    batches: tuple[int, ...] = (16, 128)
    sizes: tuple[int, int, int] = (100, 10_000, 100)  # K, objects, classes
    sizes_step: int = 5
    sizes_repeats: int = 1


QUICK = Counts(images=128, repeats=1, members=(2,), batches=(16,), sizes=(3, 100, 5), sizes_step=1)


class Sides:
    """A process for each side, started once."""

    def __init__(self, names: list[str]) -> None:
        os.environ["OMP_NUM_THREADS"] = "1"  # they inherit it
        self.pools = {name: ProcessPoolExecutor(1, mp_context=get_context("spawn")) for name in names}

    def in_turns(self, repeats: int, call: Callable[..., Any], *args: Any) -> dict[str, list[Any]]:
        """What `call(side, *args)` gives, `repeats` times for each side; no side always comes first."""
        names = list(self.pools)
        found: dict[str, list[Any]] = {name: [] for name in names}
        for repeat in range(repeats):
            for name in names[repeat % len(names) :] + names[: repeat % len(names)]:
                found[name].append(self.pools[name].submit(call, name, *args).result())
        return found

    def close(self) -> None:
        for pool in self.pools.values():
            pool.shutdown()


def epochs(counts: Counts, device: str) -> list[Sample]:
    """MLP and CNN under every engine, for every number of members and batch."""
    sides, samples = Sides(list(ENGINES)), []
    for arch in ("mlp", "cnn"):
        for members in counts.members:
            for batch in counts.batches:
                found = sides.in_turns(counts.repeats, one_epoch, arch, members, batch, counts.images, device)
                chosen = max(set(e := [engine for _, engine in found["raybayes"]]), key=e.count)
                claim = f"An epoch on {device}: {arch}, K = {members}, batch {batch} [{chosen}]"
                samples += [Sample(claim, side, s) for side, runs in found.items() for s, _ in runs]
                _say(claim)
    sides.close()
    return samples


def sizes(counts: Counts) -> tuple[list[Sample], float]:
    """Scores of the sizes, and the largest difference between the sides' CLL."""
    sides = Sides(["raybayes", REFERENCE])
    k, n, classes = counts.sizes
    found = sides.in_turns(counts.sizes_repeats, scored, k, n, classes, counts.sizes_step)
    sides.close()
    every = f"one size in {counts.sizes_step} of" if counts.sizes_step > 1 else "all sizes"
    claim = f"Scores of {every} 1 .. {k}, n = {n:,}, {classes} classes"
    gap = max(np.abs(np.subtract(a[1], b[1])).max() for a, b in zip(*found.values(), strict=True))
    _say(claim)
    return [Sample(claim, side, seconds) for side, runs in found.items() for seconds, _ in runs], float(gap)


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def main(argv: list[str]) -> int:
    """Measure everything, print the page, keep it. Returns the exit code."""
    parser = measurement.parser("ensembles_engine", __doc__, "tiny counts")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (%(default)s)")
    options = parser.parse_args(argv)
    counts = QUICK if options.quick else Counts()
    load_before = measurement.load()
    samples = epochs(counts, options.device)
    more, gap = sizes(counts)
    title, notes = "Ensembles: members side by side, scores in one pass", NOTES.format(images=counts.images, gap=gap)
    return measurement.publish(options, "ensembles_engine", title, notes, samples + more, load_before)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
