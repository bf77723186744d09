"""python -m benchmarks.checkpoints [--quick] [--out FOLDER]"""

from __future__ import annotations

import argparse
import contextlib
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch
from pyarrow import fs as pafs

from benchmarks import measurement
from benchmarks.quality import Found, write
from raybayes.clock import WALL
from raybayes.engine.messages import TrialRun
from raybayes.engine.worker.checkpointer import COST, AsyncCheckpointer
from raybayes.engine.worker.process_group import SingleProcessGroup
from raybayes.store.checkpointing import checkpoints
from raybayes.store.filesystem import Storage
from raybayes.store.layout import Layout

LATENCY_S, BYTES_PER_S = 0.5, 8e6
STATE_MB, STEP_S, EVERY_S = 8, 0.1, 2.0
NOTES = f"""
A trial makes a step of {STEP_S:g} s (the processor is free meanwhile, as when a GPU computes); its state has
{STATE_MB} MB. The storage is slowed on purpose: {LATENCY_S:g} s a file and {BYTES_PER_S / 1e6:g} MB/s, so that a
checkpoint of two files takes {2 * LATENCY_S + STATE_MB * 1e6 / BYTES_PER_S:g} s to arrive. One is wanted every
{EVERY_S:g} s. "beside the training" is what raybayes does; "waited for" writes the same files while the training waits,
either every time, or (as raybayes did before) so seldom that {COST:.0%} of the time go into it. Share: the part of the
trial's time in which it waited for checkpoints. Age: seconds since the state of the newest whole checkpoint was taken,
mean over the trial's steps: what a kill costs. Mean ± standard error over n trials.
"""


class SlowStorage(Storage):
    """A disk that takes its time."""

    @contextlib.contextmanager
    def writing(self, path: str) -> Iterator[IO[bytes]]:
        with super().writing(path) as file:
            yield file
            time.sleep(LATENCY_S + file.tell() / BYTES_PER_S)


class Deaf:
    """A controller that has nothing to store before a checkpoint appears."""

    def before_checkpoint(self, key: tuple[int, int], step: int) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"a saver does not call {name}")


@dataclass(frozen=True)
class Trial:
    """One trial: share of its time spent waiting, checkpoints that arrived, mean age of the newest in seconds."""

    share: float
    arrived: int
    age_s: float


def trial(wait: bool, spaced: bool, seconds: float) -> Trial:
    state = {"w": torch.rand(STATE_MB * 250_000)}
    with tempfile.TemporaryDirectory() as folder:
        layout = Layout(SlowStorage(pafs.LocalFileSystem(), folder, True))
        job = TrialRun("none", {}, 0, 0, 0, layout.storage, EVERY_S)
        saver = AsyncCheckpointer(job, Deaf(), SingleProcessGroup(), WALL, logging.getLogger("benchmark"))
        began = time.monotonic()
        taken = {0: began}  # when the state of each step was taken
        waited, step, ages, found = 0.0, 0, [], set()
        while time.monotonic() - began < seconds:
            time.sleep(STEP_S)
            step += 1
            newest = checkpoints.list_steps(layout, 0, 0)[-1:]
            found |= set(newest)
            ages.append(time.monotonic() - taken[newest[0] if newest else 0])
            before = time.monotonic()
            saver.poll()
            due = saver.due if spaced else before - max(taken.values()) >= EVERY_S
            if due:
                saver.save(step, {"step": step, **state}, wait)
                taken[step] = before
            waited += time.monotonic() - before
        took = time.monotonic() - began
        saver.close()
    return Trial(waited / took, len(found), statistics.fmean(ages))


SIDES = {
    "beside the training": (False, True),
    f"waited for, at most {COST:.0%} of the time": (True, True),
    "waited for, every time": (True, False),
}


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.checkpoints", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short trial a side, to see that it runs")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args(argv)
    repeats, seconds = (1, 6.0) if options.quick else (2, 25.0)
    before, found = measurement.load(), []
    claim = f"A trial of {seconds:g} s"
    for repeat in range(repeats):
        for side, (wait, spaced) in SIDES.items():
            made = trial(wait, spaced, seconds)
            found += [
                Found(claim, side, "share of its time", made.share),
                Found(claim, side, "checkpoints", made.arrived),
                Found(claim, side, "age of the newest, s", made.age_s),
            ]
        print(f"repeat {repeat} done", file=sys.stderr, flush=True)
    print(write(options.out, "checkpoints", "Checkpoints", NOTES, found, measurement.this_machine(before)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
