"""`python -m benchmarks.warm_slots [--quick] [--only groups,sizes,busy,resume] [--sizes 100,1000,3000]`."""

from __future__ import annotations

import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

from benchmarks import measurement
from benchmarks.measurement import Sample
from benchmarks.sweep_overhead.child import run_child
from benchmarks.sweep_overhead.sides import SIDES, SLOTS

LIMIT_S = 900.0
Measured = tuple[list[Sample], str]  # and more that the page says
COMMON = """
Each side in a process of its own, Ray started before the clock by the same code for all (two CPUs, no dashboard), the
same Python function with two parameters and one report, TPE with the same settings. *raybayes / side* below 1 means
that raybayes took less. Other programs used the machine: all sides ran with RAY_worker_niceness=0, because
Ray's workers give way to everybody by default.
"""
NOTES = {
    "groups": f"""
`python -m benchmarks.warm_slots --only groups` made this page. {COMMON}
Trials of two workers, one trial at a time: from the end of one trial's work to the beginning of the next one's, each
gap a sample. The start of the first group is not in it. Ray Tune runs a Ray Train run a trial, as its documentation
shows it, with reuse_actors.
""",
    "sizes": f"""
`python -m benchmarks.warm_slots --only sizes` made this page. {COMMON}
Instant trials, two at once. *a trial*: from the start of the first trial's work to the end of the last one's, divided
by the number of trials. raybayes keeps study, reports, trials and profile on disk; Ray Tune (reuse_actors) its CSV,
JSON and TensorBoard files and its snapshots. Memory: by how much the driver's has grown since the first trial's end, at
its largest, in MB; for raybayes that of driver and controller together.

""",
    "busy": f"""
`python -m benchmarks.warm_slots --only busy` made this page. {COMMON}
Trials that idle for a given time, two at once; *in training* is the share of both slots' time, first start to last
end, in which trials were at work.
""",
    "resume": """
`python -m benchmarks.warm_slots --only resume` made this page. A finished sweep of so many instant trials is extended
by two: from the call, with Ray connected, to the start of the first new trial's work.
""",
}


def groups(quick: bool, sizes: list[int]) -> Measured:
    samples = []
    for name, trials in (("nested", 4 if quick else 40), ("tune-train", 2 if quick else 5), ("isolated", 2)):
        _say(SIDES[name].label)
        (found,) = run_child(name, 0, [(trials, 0.0)], LIMIT_S)
        gaps = found.timing.gaps_s[1:] if name == "nested" else found.timing.gaps_s  # rank 1 is still importing
        samples += [Sample("from one two-worker trial to the next", SIDES[name].label, gap) for gap in gaps]
    return samples, ""


def sizes(quick: bool, sizes: list[int]) -> Measured:
    samples: list[Sample] = []
    growths: dict[tuple[int, str], list[float]] = {}
    for size in [10] if quick else sizes:
        for repeat in range(1 if quick else 3):
            for name in ("raybayes", "tune-reuse") if repeat % 2 == 0 else ("tune-reuse", "raybayes"):
                label = SIDES[name].label
                _say(f"{size} trials, repeat {repeat + 1}: {label}")
                (found,) = run_child(name, repeat, [(size, 0.0)], LIMIT_S)
                samples.append(Sample(f"{size} instant trials: a trial", label, found.timing.seconds_a_trial))
                growths.setdefault((size, label), []).append(found.growth_mb)
    lines = [
        f"* {size} trials, {label}: {statistics.median(found):.0f} MB ({', '.join(f'{mb:.0f}' for mb in found)})"
        for (size, label), found in sorted(growths.items())
    ]
    return sorted(samples, key=lambda sample: (sample.claim, sample.side != "raybayes")), "\n".join(lines)


def busy(quick: bool, sizes: list[int]) -> Measured:
    samples = []
    works = ((1.0, 4 if quick else 60), (0.2, 4 if quick else 200))
    for repeat, (sleep_s, trials) in itertools.product(range(1 if quick else 3), works):
        for name in ("raybayes", "tune-reuse") if repeat % 2 == 0 else ("tune-reuse", "raybayes"):
            _say(f"{sleep_s:g} s trials, repeat {repeat + 1}: {SIDES[name].label}")
            (found,) = run_child(name, repeat, [(trials, sleep_s)], LIMIT_S)
            share = found.timing.share(SLOTS)
            claim = f"{trials} trials of {sleep_s:g} s: a trial"
            samples.append(Sample(claim, SIDES[name].label, found.timing.seconds_a_trial, share))
    return sorted(samples, key=lambda sample: (sample.claim, sample.side != "raybayes")), ""


RESUME = """
import json, time
from pathlib import Path
from benchmarks.sweep_overhead.sides import SIDES, Task, PROJECTS
import raybayes as rb
task = Task({trials}, 0.0, Path({folder!r}), 0)
side = SIDES["raybayes"]
with side.ready():
    if {first}:
        side.run(task)
    else:
        rb.catalog.add_root(str(PROJECTS))
        Path(task.stamps).unlink()
        began = time.monotonic()
        rb.extend({folder!r} + "/sweep", 2)
        first = min(float(line.split()[0]) for line in Path(task.stamps).read_text().splitlines())
        print(json.dumps(first - began))
"""


def resume(quick: bool, sizes: list[int]) -> Measured:
    samples = []
    trials = 10 if quick else 1000
    with tempfile.TemporaryDirectory(prefix="raybayes-bench-") as folder:
        _python(RESUME.format(trials=trials, folder=folder, first=True))
        for _ in range(1 if quick else 3):
            seconds = float(json.loads(_python(RESUME.format(trials=trials, folder=folder, first=False))))
            samples.append(Sample(f"a sweep of {trials} trials goes on: to its first new trial", "raybayes", seconds))
    return samples, ""


def _python(program: str) -> str:
    command = [sys.executable, "-c", "from raybayes import catalog\n" + program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, env=dict(os.environ), check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return done.stdout


PARTS: dict[str, tuple[str, Callable[[bool, list[int]], Measured]]] = {
    "groups": ("Trials of two workers on a group that stays", groups),
    "sizes": ("Instant trials, few and many", sizes),
    "busy": ("How busy the slots are", busy),
    "resume": ("How soon a sweep goes on", resume),
}


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def main(argv: list[str]) -> int:
    """Measure the parts, print and keep a page of each. Returns the exit code."""
    parser = measurement.parser("warm_slots", __doc__, "tiny counts")
    parser.add_argument("--only", default=",".join(PARTS), help="parts, joined by commas (%(default)s)")
    parser.add_argument("--sizes", default="100,1000,3000", help="trials a sweep; a single size has its own page")
    options = parser.parse_args(argv)
    for part in options.only.split(","):
        title, measure = PARTS[part]
        load_before = measurement.load()
        samples, more = measure(options.quick, [int(size) for size in options.sizes.split(",")])
        only = options.sizes if part == "sizes" and "," not in options.sizes else part
        measurement.publish(options, f"warm_slots_{only}", title, NOTES[part] + more, samples, load_before)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
