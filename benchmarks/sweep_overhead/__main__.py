"""The measurements in order: `python -m benchmarks.sweep_overhead [--quick]`. About 20 minutes on two cores."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass

from benchmarks import measurement
from benchmarks.measurement import Sample
from benchmarks.sweep_overhead import suggestion
from benchmarks.sweep_overhead.child import run_child
from benchmarks.sweep_overhead.sides import SIDES, SLOTS

LIMIT_S = 600.0
SLEEP_S = 0.5
STARTS = {"import raybayes": ["-c", "import raybayes"], "raybayes --help": ["-m", "raybayes", "--help"]}
NOTES = """\
`python -m benchmarks.sweep_overhead` made this page. Medians over *n* repeats in which the sides took turns; low and
high are the extremes. *raybayes / side* below 1 means that raybayes took less. Sweeps and two-worker trials: each side
in a process of its own, Ray started before the clock by the same code for all (two CPUs, no dashboard), the same Python
function with two parameters and one report, TPE with the same settings, two trials at once. 100 trials a sweep, 30 of
the side that starts an actor for each; 3 two-worker trials.

* Suggestions: all sides in one process, without Ray; the median of the 50 trials before the mark. raybayes makes each
  trial durable before it starts and after it ends; Optuna in memory keeps nothing.
* *a trial*: from the start of the first trial's work to the end of the last one's, divided by the number of trials.
* *a trial, whole call*: the wall time of the whole call, start-up and writing of results included, divided likewise.
* *in training*: share of the time of both slots, first start to last end, in which trials were at work.
* raybayes keeps study, reports and trials on disk, an fsync before each promise. Ray Tune keeps a snapshot every few
  seconds, and CSV, JSON and TensorBoard files unless it says "no loggers".
* Two-worker trials: from one trial's start to the next one's, group start and end included.
"""


@dataclass(frozen=True)
class Counts:
    """How much is measured."""

    trials: int = 100
    trials_slow: int = 30  # of the side that starts an actor for each trial
    nested: int = 3
    repeats: int = 3
    starts: int = 10
    marks: tuple[int, ...] = (100, 500, 1000)


QUICK = Counts(trials=6, trials_slow=4, nested=2, repeats=1, starts=2, marks=(10, 20))


def sweeps(counts: Counts) -> list[Sample]:
    """Trials that return at once and trials of half a second, on all sides."""
    names = ["raybayes", "tune", "tune-reuse", "tune-quiet", "optuna"]
    samples = []
    for repeat in range(counts.repeats):
        for name in names[repeat % len(names) :] + names[: repeat % len(names)]:  # no side always comes first
            trials = counts.trials_slow if name == "tune" else counts.trials
            label = SIDES[name].label
            _say(f"repeat {repeat + 1}/{counts.repeats}: {label}")
            tasks = [(trials, 0.0), (trials, SLEEP_S)]
            for (_, sleep_s), found in zip(tasks, run_child(name, repeat, tasks, LIMIT_S), strict=True):
                kind = f"{sleep_s:g} s trials" if sleep_s else "instant trials"
                share = found.timing.share(SLOTS) if sleep_s else None
                samples.append(Sample(f"{kind}: a trial", label, found.timing.seconds_a_trial, share))
                samples.append(Sample(f"{kind}: a trial, whole call", label, found.wall_s / trials))
    return _by_claim(samples)


def nested(counts: Counts) -> list[Sample]:
    """Trials of two workers beside bare runs of two workers."""
    samples = []
    for repeat in range(counts.repeats):
        for name in ("nested", "train") if repeat % 2 == 0 else ("train", "nested"):
            label = SIDES[name].label
            _say(f"repeat {repeat + 1}/{counts.repeats}: two workers, {label}")
            found = run_child(name, repeat, [(counts.nested, 0.0)], LIMIT_S)[0]
            samples.append(Sample("two-worker trials: a trial", label, found.timing.between_s))
            samples.append(Sample("two-worker trials: a trial, whole call", label, found.wall_s / counts.nested))
    return _by_claim(samples)


def starts(counts: Counts) -> list[Sample]:
    """Wall time of the smallest things a user can do, beside an empty Python and what importing torch alone takes."""
    samples = []
    for claim, arguments in STARTS.items():
        for _ in range(counts.starts):
            samples.append(Sample(claim, "raybayes", _wall([sys.executable, *arguments])))
            for program in ("pass", "import torch"):
                samples.append(Sample(claim, f"python -c {program!r}", _wall([sys.executable, "-c", program])))
    return sorted(samples, key=lambda sample: list(STARTS).index(sample.claim))


def _wall(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=60)
    return time.perf_counter() - began


def _by_claim(samples: list[Sample]) -> list[Sample]:
    """Claims together, raybayes first."""
    claims = list(dict.fromkeys(sample.claim for sample in samples))
    order = [side.label for side in SIDES.values()]
    return sorted(samples, key=lambda sample: (claims.index(sample.claim), order.index(sample.side)))


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def main(argv: list[str]) -> int:
    """Measure everything, print the page, keep it. Returns the exit code."""
    options = measurement.parser("sweep_overhead", __doc__, "tiny counts").parse_args(argv)
    counts = QUICK if options.quick else Counts()
    load_before = measurement.load()
    samples = starts(counts)
    _say("suggestions")
    samples += suggestion.measure(counts.marks, counts.repeats)
    samples += sweeps(counts) + nested(counts)
    title = "What a trial costs beyond its training"
    return measurement.publish(options, "sweep_overhead", title, NOTES, samples, load_before)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
