"""One side in a process of its own: `python -m benchmarks.sweep_overhead.child SIDE OUT SEED TRIALS:SLEEP ...`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.sweep_overhead.objective import Timing, read_stamps, timing
from benchmarks.sweep_overhead.sides import SIDES, SLOTS, Task


@dataclass(frozen=True)
class Measured:
    """What one side took for one task: the trials' own times, and the wall time of the whole call.

    Args:
        growth_mb: growth of the memory of the driver and of raybayes' controller, from the first trial's end on.
        first_s: from the call to the start of the first trial's work.
    """

    timing: Timing
    wall_s: float
    growth_mb: float
    first_s: float


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
                with memory_growth(Path(task.stamps)) as growth:
                    side.run(task)
                wall_s = time.monotonic() - began
                spans = read_stamps(Path(task.stamps))
            if len(spans) != task.trials:
                raise RuntimeError(f"{name}: {len(spans)} trials ran, {task.trials} were wanted")
            first_s = min(start for start, _ in spans) - began
            found.append({"wall_s": wall_s, "timing": vars(timing(spans)), "growth_mb": growth[0], "first_s": first_s})
    Path(out).write_text(json.dumps(found))


@contextmanager
def memory_growth(stamps: Path) -> Iterator[list[float]]:
    """Watch the memory of this process and of a controller below it; the growth in MB, from the file `stamps` on."""
    ended, sizes, growth = threading.Event(), [], [0.0]

    def watch() -> None:
        while not ended.wait(0.5):
            if stamps.exists():
                sizes.append(_resident())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield growth
    finally:
        ended.set()
        thread.join()
        growth[0] = (max(sizes) - sizes[0]) / 1e6 if sizes else 0.0


def _resident() -> float:
    me = psutil.Process()
    size = me.memory_info().rss
    for child in me.children(recursive=True):
        with suppress(psutil.Error):
            if child.name().startswith("ray::Controller") or "ControllerActor" in " ".join(child.cmdline()):
                size += child.memory_info().rss
    return float(size)


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
    return [Measured(Timing(**entry.pop("timing")), **entry) for entry in found]


if __name__ == "__main__":
    main(sys.argv[1:])
