"""One side in a process of its own: `python -m benchmarks.sweep_overhead.child SIDE OUT SEED TRIALS:SLEEP ...`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.sweep_overhead.objective import Timing, read_stamps, timing
from benchmarks.sweep_overhead.sides import SIDES, SLOTS, Task


@dataclass(frozen=True)
class Measured:
    """What one side took for one task: the trials' own times, and the wall time of the whole call."""

    timing: Timing
    wall_s: float


def main(argv: list[str]) -> None:
    """Do all tasks on one Ray, and write what they took to the file OUT."""
    name, out, seed, *tasks = argv
    if hasattr(os, "sched_setaffinity"):  # two slots on any machine; Ray and its workers inherit it
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:SLOTS])
    side = SIDES[name]
    found = []
    with side.ready():
        for text in tasks:
            trials, _, sleep_s = text.partition(":")
            with tempfile.TemporaryDirectory(prefix="raybayes-bench-") as folder:
                task = Task(int(trials), float(sleep_s), Path(folder), int(seed))
                began = time.monotonic()
                side.run(task)
                wall_s = time.monotonic() - began
                spans = read_stamps(Path(task.stamps))
            if len(spans) != task.trials:
                raise RuntimeError(f"{name}: {len(spans)} trials ran, {task.trials} were wanted")
            found.append({"wall_s": wall_s, "timing": vars(timing(spans))})
    Path(out).write_text(json.dumps(found))


def run_child(name: str, seed: int, tasks: list[tuple[int, float]], limit_s: float) -> list[Measured]:
    """Run a side in a fresh process, task after task.

    Raises:
        RuntimeError: it failed, or took longer than `limit_s` seconds; the end of what it printed is in the message.
    """
    with tempfile.TemporaryDirectory(prefix="raybayes-bench-") as folder:
        out, log = Path(folder) / "out.json", Path(folder) / "log"
        works = [f"{trials}:{sleep_s}" for trials, sleep_s in tasks]
        command = [sys.executable, "-m", "benchmarks.sweep_overhead.child", name, str(out), str(seed), *works]
        with log.open("w") as file:
            try:
                code = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, timeout=limit_s).returncode
            except subprocess.TimeoutExpired:
                code = -1
        if code or not out.exists():
            reason = f"did not end within {limit_s:.0f} s" if code == -1 else f"ended with {code}"
            raise RuntimeError(f"{name} {reason}; it said last: {log.read_text()[-2000:]}")
        found = json.loads(out.read_text())
    return [Measured(Timing(**entry["timing"]), entry["wall_s"]) for entry in found]


if __name__ == "__main__":
    main(sys.argv[1:])
