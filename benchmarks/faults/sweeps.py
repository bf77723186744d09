"""One sweep that is hit by a fault and goes on, in processes of its own, and what has become of it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

import raybayes as rb

ROOT = Path(__file__).parent.parent.parent
TRIALS, STEPS, SLEEP_S = 8, 5, 0.05
WAIT_S = 240.0


@dataclass(frozen=True)
class Damage:
    """What a fault has cost.

    Args:
        lost: trials without an end.
        again: finished trials that were run again.
        steps: steps of unfinished trials that were trained again.
        running: trials that are RUNNING at the end.
        recovery_s: from the fault (or the command that goes on after it) to the next step of training; None where
            nothing had to be started again.
    """

    lost: int
    again: int
    steps: int
    running: int
    recovery_s: float | None = None


def raybayes(*arguments: str) -> subprocess.Popen[str]:
    """A raybayes process of its own, among the projects of the tests."""
    return subprocess.Popen(
        [sys.executable, "-m", "raybayes", *arguments],
        cwd=ROOT / "tests" / "projects",
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def settings(folder: Path, **more: object) -> list[str]:
    values = {"steps": STEPS, "sleep_s": SLEEP_S, "log": folder / "log", **more}
    return [part for name, value in values.items() for part in ("-s", f"{name}={value}")]


def begin(folder: Path, *flags: str, **more: object) -> subprocess.Popen[str]:
    place = ["--storage", str(folder), "--name", "s"]
    return raybayes("sweep", "parabola", "--trials", str(TRIALS), *place, *flags, *settings(folder, **more))


def wait_for_lines(folder: Path, lines: int) -> None:
    """Until the training function has made so many steps."""
    deadline = time.monotonic() + WAIT_S
    while len(trained(folder)) < lines:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{folder}: {lines} steps were not made in {WAIT_S:g} s")
        time.sleep(0.01)


def trained(folder: Path) -> list[list[str]]:
    """(step, process, rank, learning rate) of each step that was really computed."""
    log = folder / "log"
    return [line.split() for line in log.read_text().splitlines()] if log.exists() else []


def kill(process: subprocess.Popen[str]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def kill_head(process: subprocess.Popen[str]) -> None:
    """SIGKILL for the head's state server; the driver then gives up by itself."""
    for child in psutil.Process(process.pid).children(recursive=True):
        if child.name() == "gcs_server":
            child.kill()
    process.wait(timeout=WAIT_S)


def hit_and_resume(
    folder: Path, rng: random.Random, flags: tuple[str, ...], hit: Callable[[subprocess.Popen[str]], None],
    damage: Callable[[Path], None] = lambda folder: None,
) -> Damage:  # fmt: skip
    """Start, hit at a random moment, perhaps damage a file too, resume, and look."""
    process = begin(folder, *flags)
    wait_for_lines(folder, rng.randint(2, (TRIALS - 2) * STEPS))
    hit(process)
    damage(folder / "s")
    before = finished(folder)
    made, began = len(trained(folder)), time.monotonic()
    after = raybayes("resume", str(folder / "s"), *flags[:1])
    wait_for_lines(folder, made + 1)
    recovery_s = time.monotonic() - began
    _, errors = after.communicate(timeout=WAIT_S)
    if after.returncode != 0:
        raise RuntimeError(f"resume ended with {after.returncode}: {errors}")
    return look(folder, before, recovery_s)


def finished(folder: Path) -> set[float]:
    """Learning rates of the trials that have ended."""
    rows = rb.open_sweep(str(folder / "s")).trials.to_pylist()
    return {row["config.lr"] for row in rows if row["state"] in ("COMPLETE", "PRUNED", "FAIL")}


def look(folder: Path, before: set[float], recovery_s: float | None, ended: tuple[str, ...] = ("COMPLETE",)) -> Damage:
    """What has become of the sweep."""
    rows = rb.open_sweep(str(folder / "s")).trials.to_pylist()
    counts = Counter((float(line[3]), line[0]) for line in trained(folder) if line[2] == "0")
    twice = Counter({rate: 0 for rate, _ in counts})
    for (rate, _), count in counts.items():
        twice[rate] += count - 1
    return Damage(
        lost=TRIALS - sum(row["state"] in ended for row in rows),
        again=sum(twice[rate] > 0 for rate in before),
        steps=sum(count for rate, count in twice.items() if rate not in before),
        running=sum(row["state"] == "RUNNING" for row in rows),
        recovery_s=recovery_s,
    )
