"""python -m benchmarks.replay_speed [--quick] [--out FOLDER]"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import raybayes as rb
from benchmarks import measurement
from benchmarks.measurement import Sample
from raybayes.space import Choice, Float, Int, Space

SPACE = Space(
    {
        "lr": Float(1e-4, 1.0, log=True),
        "width": Int(8, 512, log=True),
        "decay": Float(0.0, 0.1),
        "kind": Choice("a", "b"),
    }
)
EPOCHS, EPOCH_S = 9, 2.0
NOTES = f"""
A sweep whose trials are simulated ({EPOCHS} epochs of {EPOCH_S:g} s or less: ASHA stops most of them), on 1, 8 and 64
simulated workers. The time is the driver's own for one trial, in CPU seconds: suggestion (TPE), reports, decisions,
journal and tables. It passes on the virtual clock too, one answer after the other, so "in training" is the share of the
workers' time that was training up to the start of the last trial.
"""


def curve(config: Mapping[str, Any]) -> Iterator[dict[str, float]]:
    for epoch in range(1, EPOCHS + 1):
        yield {"loss": abs(config["lr"] - 0.03) + config["decay"] + 1 / epoch, "seconds": EPOCH_S}


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.replay_speed", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few trials, to see that it runs")
    parser.add_argument("--repeats", type=int, default=3, help="how often each number of workers is measured")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args(argv)
    trials, repeats = (50, 1) if options.quick else (1000, options.repeats)
    before, samples = measurement.load(), []
    for repeat in range(repeats):
        for workers in (1, 8, 64):
            found = rb.simulate(curve, SPACE, trials=trials, workers=workers, scheduler="asha", charge_driver=True)
            side = f"{workers} simulated workers"
            claim = f"The driver's CPU time for one of {trials} trials"
            samples.append(Sample(claim, side, found.driver_s / trials, found.utilisation))
        print(f"repeat {repeat} done", file=sys.stderr, flush=True)
    rows = measurement.summarise(samples)
    title = "Speed of the driver"
    print(measurement.write(options.out, "replay_speed", title, NOTES, rows, measurement.this_machine(before)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
