"""python -m benchmarks.fused [--quick] [--repeats N] [--out FOLDER]"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import raybayes as rb
from benchmarks import measurement
from benchmarks.measurement import REFERENCE, Sample

SLOTS = 2
NOTES = f"""
`python -m benchmarks.fused` made this page. Whole sweeps of one project on a private Ray with {SLOTS} slots of one
core, random configurations, the same ones on both sides. "raybayes": `--fuse N`, which trains half of the trials at a
time in each slot. "apart": each slot trains one trial after the other in a warm process, `--fuse never`. The time is
that of one trial: from the start of the first to the end of the last, divided by their number; 3,600 s over it are
trials an hour. The start of Ray and of the slots' processes is left out on both sides. Sides take turns.
"""


@dataclass(frozen=True)
class Case:
    """A sweep: what is in common to its trials is fixed, the rest of the space is drawn."""

    claim: str
    project: str
    trials: int
    config: Mapping[str, Any]


CASES: tuple[Case, ...] = (
    Case(
        "A trial of 16: one small convolutional network, 2,000 MNIST digits, 10 epochs; rate, decay, momentum vary",
        "ensembles",
        16,
        {"method": "single", "members": 1, "arch": "cnn", "epochs": 10, "batch": 64},
    ),
    Case(
        "A trial of 16: the same with batches of 16",
        "ensembles",
        16,
        {"method": "single", "members": 1, "arch": "cnn", "epochs": 10, "batch": 16},
    ),
    Case(
        "A trial of 64: the toy of 8 items, RELAX, 2,000 evaluations; rates and temperatures vary",
        "permutations",
        64,
        {
            "task": "toy", "runs": 1, "evaluations": 2000, "reports": 10, "controls": False, "estimator": "relax",
            "samples": 1, "lr_decay": "none", "critic.relaxation": "neuralsort", "critic.width": 32,
            "critic.depth": 1, "critic.activation": "relu", "critic.updates": 1, "critic.warmup": 0,
            "critic.learn_tau": True,
        },
    ),
)  # fmt: skip


def samples(cases: Sequence[Case], repeats: int) -> Iterator[Sample]:
    for case in cases:
        for seed in range(repeats):
            sides: tuple[tuple[str, int | Literal["never"]], ...] = (
                (REFERENCE, case.trials // SLOTS),
                ("apart", "never"),
            )
            for side, fuse in sides:
                yield Sample(case.claim, side, seconds_a_trial(case, seed, fuse))
                print(case.project, seed, side, file=sys.stderr, flush=True)


def seconds_a_trial(case: Case, seed: int, fuse: int | Literal["never"]) -> float:
    """A sweep's time from its first start to its last end, divided by its trials."""
    with tempfile.TemporaryDirectory(prefix="raybayes-fused-") as folder:
        found = rb.sweep(
            case.project, trials=case.trials, sampler="random", config=case.config, seed=seed, fuse=fuse,
            concurrency=SLOTS, storage=folder, name="s",
        )  # fmt: skip
        rows = found.trials.to_pylist()
    if any(row["state"] != "COMPLETE" for row in rows):
        raise RuntimeError(f"{case.project}: not all trials are complete: {rows}")
    first, last = min(row["started"] for row in rows), max(row["ended"] for row in rows)
    return float(last - first) / len(rows)


def main(argv: Sequence[str]) -> int:
    """Measure, print the page, keep it. Returns the exit code."""
    parser = measurement.parser("fused", __doc__, "one sweep of 4 short trials of each project")
    parser.add_argument("--repeats", type=int, default=3, help="sweeps of each side (%(default)s)")
    options: argparse.Namespace = parser.parse_args(argv)
    load_before, cases = measurement.load(), CASES
    if options.quick:
        short = ({"epochs": 2}, {"epochs": 2}, {"evaluations": 500})
        cases = tuple(
            Case(case.claim, case.project, 4, {**case.config, **less}) for case, less in zip(CASES, short, strict=True)
        )
    found = list(samples(cases, 1 if options.quick else options.repeats))
    return measurement.publish(options, "fused", "Trials trained together", NOTES, found, load_before)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
