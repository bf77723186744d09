"""Faults of a machine and of its Ray: a stopped worker, a killed raylet, a full /tmp, clocks that differ."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import psutil

from benchmarks.faults import sweeps
from benchmarks.faults.sweeps import Damage, begin, kill, look, wait_for_lines

STOPPED_S = 60.0
TMP_KIB = 64  # all that /tmp has
SKEWS_S = (150.0, -150.0, 0.0)


def journal_cut(folder: Path, rng: random.Random) -> Damage:
    """The driver is killed and its journal cut anywhere; `check --repair`, then `resume`."""
    process = begin(folder, "--local")
    wait_for_lines(folder, rng.randint(2, (sweeps.TRIALS - 2) * sweeps.STEPS))
    cut = sweeps.cut(folder, process, kill)
    journal = folder / "s" / "study.journal"
    whole = journal.read_bytes()
    journal.write_bytes(whole[: rng.randrange(len(whole))])
    _done(sweeps.raybayes("check", str(folder / "s"), "--repair"))
    return sweeps.resume_and_look(folder, [cut], ("--local",), lambda sweep: None)


def clocks_differ(folder: Path, rng: random.Random) -> Damage:
    """The lock is that of a dead process on another machine, whose clock is 150 s ahead, 150 s behind, or right."""
    process = begin(folder, "--local")
    wait_for_lines(folder, rng.randint(2, (sweeps.TRIALS - 2) * sweeps.STEPS))
    cut = sweeps.cut(folder, process, kill)
    lock, skew_s = folder / "s" / "burst.lock", rng.choice(SKEWS_S)
    held = json.loads(lock.read_text())
    lock.write_text(json.dumps({**held, "host": "elsewhere", "heartbeat": held["heartbeat"] + skew_s}))
    return sweeps.resume_and_look(folder, [cut], ("--local",), lambda sweep: None)


def raylet_killed(folder: Path, rng: random.Random) -> Damage:
    """SIGKILL for the raylet of the private Ray; the command ends with exit code 3, `resume` goes on."""
    process = begin(folder)
    wait_for_lines(folder, rng.randint(2, (sweeps.TRIALS - 2) * sweeps.STEPS))
    for child in psutil.Process(process.pid).children(recursive=True):
        if child.name() == "raylet":
            child.kill()
    _, errors = process.communicate(timeout=sweeps.WAIT_S)
    if process.returncode != 3:
        raise RuntimeError(f"the command ended with {process.returncode}, not 3: {errors}")
    return sweeps.resume_and_look(folder, [sweeps.now(folder)], (), lambda sweep: None)


def worker_stopped(folder: Path, rng: random.Random) -> Damage:
    """SIGSTOP for a process that trains, SIGCONT a minute later; nothing is to be started again."""
    process = begin(folder)
    wait_for_lines(folder, rng.randint(2, (sweeps.TRIALS - 3) * sweeps.STEPS))
    worker = int(sweeps.trained(folder)[-1][1])
    os.kill(worker, signal.SIGSTOP)
    time.sleep(STOPPED_S)
    os.kill(worker, signal.SIGCONT)
    _done(process)
    return look(folder, [], None)


def tmp_full(folder: Path, rng: random.Random) -> Damage:
    """A TMPDIR without room, from the start, with a checkpoint at every second of training; needs root."""
    small = folder / "tmp"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={TMP_KIB}k", "tmpfs", str(small)], check=True)
    try:
        (small / "full").write_bytes(b"x" * (TMP_KIB - rng.randint(0, 8)) * 1024)
        process = begin(folder, "--local", checkpoint_every=0.1, variables={"TMPDIR": str(small)})
        process.communicate(timeout=sweeps.WAIT_S)
        (small / "full").unlink()
        return sweeps.resume_and_look(folder, [sweeps.now(folder)], ("--local",), lambda sweep: None)
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


def _done(process: subprocess.Popen[str]) -> None:
    _, errors = process.communicate(timeout=sweeps.WAIT_S)
    if process.returncode != 0:
        raise RuntimeError(f"{process.args!r} ended with {process.returncode}: {errors}")
