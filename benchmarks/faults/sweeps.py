"""One sweep that is hit by a fault and goes on, in processes of its own, and what has become of it."""

from __future__ import annotations

import os
import random
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

import raybayes as rb

ROOT = Path(__file__).parent.parent.parent
TRIALS, STEPS, SLEEP_S = 8, 5, 0.05
TRIALS_A_KILL = 25  # the workers of a dead driver go on for some seconds
WAIT_S = 240.0


@dataclass(frozen=True)
class Damage:
    """What a fault has cost.

    Args:
        lost: trials without an end.
        again: finished trials that were run again.
        steps: steps that were trained again after a fault, the most of all faults.
        running: trials that are RUNNING at the end.
        recovery_s: from the fault (or the command that goes on after it) to the next step of training; None where
            nothing had to be started again.
    """

    lost: int
    again: int
    steps: int
    running: int
    recovery_s: float | None = None


def raybayes(*arguments: str, file_limit: int | None = None, **variables: str) -> subprocess.Popen[str]:
    """A raybayes process of its own, among the projects of the tests.

    Args:
        file_limit: the most bytes a file may have.
        variables: of its environment.
    """
    limit = [] if file_limit is None else ["prlimit", f"--fsize={file_limit}"]
    return subprocess.Popen(
        [*limit, sys.executable, "-m", "raybayes", *arguments],
        cwd=ROOT / "tests" / "projects",
        env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def settings(folder: Path, **more: object) -> list[str]:
    values = {"steps": STEPS, "sleep_s": SLEEP_S, "log": folder / "log", **more}
    return [part for name, value in values.items() for part in ("-s", f"{name}={value}")]


def begin(
    folder: Path, *flags: str, trials: int = TRIALS, file_limit: int | None = None, checkpoint_every: float = 10.0,
    variables: Mapping[str, str] | None = None, **more: object,
) -> subprocess.Popen[str]:  # fmt: skip
    spec = folder / "spec.yaml"
    spec.write_text(f"checkpoint_every: {checkpoint_every}\n")
    place = ["--storage", str(folder), "--name", "s", "--spec", str(spec), *flags]
    return raybayes(
        "sweep", "parabola", "--trials", str(trials), *place, *settings(folder, **more), file_limit=file_limit,
        **(variables or {}),
    )  # fmt: skip


def wait_for_lines(folder: Path, lines: int) -> None:
    """Until the training function has made so many steps."""
    deadline = time.monotonic() + WAIT_S
    while len(trained(folder)) < lines:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{folder}: {lines} steps were not made in {WAIT_S:g} s")
        time.sleep(0.01)


def recovery(folder: Path, before: Cut, process: subprocess.Popen[str], began: float) -> float | None:
    """Seconds from `began` until a process that was not there at the fault has made a step; None: `process` has ended
    without one, since workers that outlived the fault for a while have done all there was."""
    while all(line[1] in before.processes for line in trained(folder)[before.made :]):
        if process.poll() is not None:
            return None
        if time.monotonic() - began > WAIT_S:
            raise TimeoutError(f"{folder}: no step was made in {WAIT_S:g} s")
        time.sleep(0.01)
    return time.monotonic() - began


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


Kill = Callable[[subprocess.Popen[str]], None]


def hit_and_resume(
    folder: Path, rng: random.Random, flags: tuple[str, ...], hit: Kill,
    damage: Callable[[Path], None] = lambda folder: None, **more: object,
) -> Damage:  # fmt: skip
    """Start, hit at a random moment, perhaps damage a file too, resume, and look."""
    process = begin(folder, *flags, **more)  # type: ignore[arg-type]
    wait_for_lines(folder, rng.randint(2, (TRIALS - 2) * STEPS))
    return resume_and_look(folder, [cut(folder, process, hit)], flags[:1], damage)


@dataclass(frozen=True)
class Cut:
    """What there was when a fault hit: steps that were made, by whom, learning rates of the trials that had ended."""

    made: int
    ended: frozenset[float]
    processes: frozenset[str]


def cut(folder: Path, process: subprocess.Popen[str], hit: Kill) -> Cut:
    hit(process)
    return now(folder)


def now(folder: Path) -> Cut:
    """What there is, where the fault has hit already."""
    made = trained(folder)
    return Cut(len(made), finished(folder), frozenset(line[1] for line in made))


def resume_and_look(
    folder: Path, cuts: list[Cut], flags: tuple[str, ...], damage: Callable[[Path], None], trials: int = TRIALS
) -> Damage:
    damage(folder / "s")
    began = time.monotonic()
    after = raybayes("resume", str(folder / "s"), *flags)
    recovery_s = recovery(folder, cuts[-1], after, began)
    _, errors = after.communicate(timeout=WAIT_S)
    if after.returncode != 0:
        raise RuntimeError(f"resume ended with {after.returncode}: {errors}")
    return look(folder, cuts, recovery_s, trials=trials)


def hit_again_and_again(folder: Path, rng: random.Random, times: int) -> Damage:
    """One sweep on Ray whose driver is killed so many times, each time while it goes on from the last."""
    trials = TRIALS_A_KILL * times
    cuts: list[Cut] = []
    recoveries: list[float | None] = []
    for number in range(times):
        began = time.monotonic()
        process = begin(folder, trials=trials) if number == 0 else raybayes("resume", str(folder / "s"))
        if cuts:
            recoveries.append(recovery(folder, cuts[-1], process, began))
        wait_for_lines(folder, len(trained(folder)) + rng.randint(1, 2 * STEPS))
        cuts.append(cut(folder, process, kill))
    last = resume_and_look(folder, cuts, (), lambda folder: None, trials)
    known = [seconds for seconds in [*recoveries, last.recovery_s] if seconds is not None]
    return replace(last, recovery_s=statistics.median(known))


def finished(folder: Path) -> frozenset[float]:
    """Learning rates of the trials that have ended."""
    rows = rb.open_sweep(str(folder / "s")).trials.to_pylist()
    return frozenset(row["config.lr"] for row in rows if row["state"] in ("COMPLETE", "PRUNED", "FAIL"))


def look(
    folder: Path, cuts: list[Cut], recovery_s: float | None, ended: tuple[str, ...] = ("COMPLETE",),
    trials: int = TRIALS,
) -> Damage:  # fmt: skip
    """What has become of the sweep. Without a cut, all steps that were computed twice count."""
    rows = rb.open_sweep(str(folder / "s")).trials.to_pylist()
    made = [(float(line[3]), line[0], line[2]) for line in trained(folder)]
    again = {rate for cut in cuts for rate, _, _ in made[cut.made :] if rate in cut.ended}
    ends = [*(cut.made for cut in cuts), len(made)][1:]
    repeated = [len(set(made[: one.made]) & set(made[one.made : end])) for one, end in zip(cuts, ends, strict=True)]
    return Damage(
        lost=trials - sum(row["state"] in ended for row in rows),
        again=len(again),
        steps=max(repeated, default=len(first := [one for one in made if one[2] == "0"]) - len(set(first))),
        running=sum(row["state"] == "RUNNING" for row in rows),
        recovery_s=recovery_s,
    )
