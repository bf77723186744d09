"""python -m benchmarks.faults [--quick] [--out FOLDER]"""

from __future__ import annotations

import argparse
import random
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

import raybayes as rb
from benchmarks import measurement
from benchmarks.faults import machines, sweeps
from benchmarks.faults.nodes import a_node
from benchmarks.faults.sweeps import Damage, begin, hit_and_resume, kill, kill_head, look, wait_for_lines
from raybayes.seeds import derive

Case = Callable[[Path, random.Random], Damage]
KILLS = 10
GIB = 2.0**30
NOTES = f"""
Each time, a sweep of {sweeps.TRIALS} trials of {sweeps.STEPS} steps is hit at a seeded random moment and goes on:
processes are real and are killed with SIGKILL; "on Ray" is a private Ray of this machine. The driver on Ray is killed
{KILLS} times in one sweep of {sweeps.TRIALS_A_KILL * KILLS} trials, each time while it goes on from the last.
Lost: trials without an end. Again: finished trials that were run again.
Steps: the most steps that were trained again after a fault (there is no
checkpoint before 10 s, so up to all {sweeps.STEPS} for each trial that was running). Running: RUNNING at the end.
Recovery: median seconds from the command that goes on (start of Python and Ray included) to the next step of training;
of a node, from its death to the next step of its trial. Load: mean number of running processes in the last minute.
"""
HERE = ("--local",)


def driver_here(folder: Path, rng: random.Random) -> Damage:
    return hit_and_resume(folder, rng, HERE, kill)


def driver_on_ray(folder: Path, rng: random.Random) -> Damage:
    return sweeps.hit_again_and_again(folder, rng, KILLS)


def head(folder: Path, rng: random.Random) -> Damage:
    """Ray waits a minute for its head unless told otherwise, which is as long as the whole sweep."""
    soon = {"RAY_gcs_rpc_server_reconnect_timeout_s": "3"}
    return hit_and_resume(folder, rng, (), kill_head, sleep_s=0.3, variables=soon)


def damaged(change: Callable[[Path, random.Random], None], pattern: str, checkpoint_every: float = 10.0) -> Case:
    """The driver is killed, and the last of the files that the pattern names is damaged too."""

    def case(folder: Path, rng: random.Random) -> Damage:
        def damage(sweep: Path) -> None:
            for path in sorted(sweep.glob(pattern))[-1:]:
                change(path, rng)

        return hit_and_resume(folder, rng, HERE, kill, damage, checkpoint_every=checkpoint_every)

    return case


def tear(path: Path, rng: random.Random) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: max(0, len(data) - rng.randint(1, 40))])


def halve(path: Path, rng: random.Random) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path, rng: random.Random) -> None:
    data = bytearray(path.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def signalled(folder: Path, rng: random.Random) -> Damage:
    """SIGUSR1; the recovery is the time until the command has ended."""
    process = begin(folder, *HERE)
    wait_for_lines(folder, rng.randint(2, (sweeps.TRIALS - 2) * sweeps.STEPS))
    began = time.monotonic()
    process.send_signal(signal.SIGUSR1)
    process.communicate(timeout=sweeps.WAIT_S)
    took = time.monotonic() - began
    sweeps.raybayes("resume", str(folder / "s"), *HERE).communicate(timeout=sweeps.WAIT_S)
    return look(folder, [], took)


def full_disk(folder: Path, rng: random.Random) -> Damage:
    """No file may grow beyond a size: writes end in the middle of a line; then there is room again."""
    process = begin(folder, *HERE, file_limit=rng.randint(4000, 7000))
    process.communicate(timeout=sweeps.WAIT_S)
    return sweeps.resume_and_look(folder, [sweeps.now(folder)], HERE, lambda folder: None)


def worker(*flags: str) -> Case:
    """A worker's own process, from within, once; its trial is started again by the same command."""

    def case(folder: Path, rng: random.Random) -> Damage:
        process = begin(folder, *flags, die_at=rng.randint(2, sweeps.STEPS), marker=folder / "marker")
        _, errors = process.communicate(timeout=sweeps.WAIT_S)
        if process.returncode != 0:
            raise RuntimeError(errors)
        return look(folder, [], None)

    return case


def vice(*flags: str, **settings: Any) -> Case:
    """Something that the training function does to itself at its second step, in about half of the trials."""

    def case(folder: Path, rng: random.Random) -> Damage:
        process = begin(folder, *flags, "--seed", str(rng.randint(0, 999)), only_above=0.1, **settings)
        process.communicate(timeout=sweeps.WAIT_S)
        return look(folder, [], None, ended=("COMPLETE", "FAIL"))

    return case


def memory_monitor(folder: Path, rng: random.Random) -> Damage:
    """Trials that take 4 GiB where Ray kills processes above 2.5 GiB more than there is in use now."""
    memory = psutil.virtual_memory()
    used = (memory.total - memory.available + 2.5 * GIB) / memory.total
    limit = {"RAY_memory_usage_threshold": str(used), "RAY_memory_monitor_refresh_ms": "100"}
    greedy: dict[str, Any] = {"eat_at": 2, "eat_gib": 4, "only_above": 0.09}  # the first trial, at least, which has 0.1
    seed = str(rng.randint(0, 999))
    process = begin(folder, "--concurrency", "1", "--seed", seed, trials=4, variables=limit, **greedy)
    process.communicate(timeout=sweeps.WAIT_S)
    failures = rb.open_sweep(str(folder / "s")).trials["failure"].to_pylist()
    if not any("low on memory" in (failure or "") for failure in failures):
        raise RuntimeError(f"Ray has killed nothing: {failures}")
    return look(folder, [], None, trials=4, ended=("COMPLETE", "FAIL"))


NEWEST = "checkpoints/*/*/rank-0.pt"
CASES: dict[str, tuple[Case, int]] = {
    "driver killed, in process": (driver_here, 10),
    f"driver killed, on Ray ({KILLS} times)": (driver_on_ray, 1),
    "head's state server killed": (head, 1),
    "a node killed with its trial": (a_node, 3),
    "trial's worker killed, on Ray": (worker(), 1),
    "one of a trial's two workers killed, on Ray": (worker("--workers", "2"), 1),
    "driver killed, journal torn": (damaged(tear, "study.journal"), 3),
    "driver killed, reports torn": (damaged(tear, "reports/*.jsonl"), 3),
    "driver killed, checkpoint half-written": (damaged(halve, NEWEST, 0.0), 3),
    "driver killed, bit flipped in a checkpoint": (damaged(flip, NEWEST, 0.0), 3),
    "full disk": (full_disk, 3),
    "SIGUSR1 (recovery: seconds to the exit)": (signalled, 3),
    "exception": (vice(*HERE, fail_at=2), 1),
    "NaN": (vice(*HERE, nan_at=2), 1),
    "no memory (MemoryError)": (vice(*HERE, eat_at=2), 1),
    "worker killed each time, as for its memory": (vice(die_at=2), 1),
    "killed by Ray's memory monitor": (memory_monitor, 1),
    "driver killed, journal cut anywhere, repaired": (machines.journal_cut, 3),
    "driver killed elsewhere, clocks differ by 150 s": (machines.clocks_differ, 3),
    "raylet of a private Ray killed (exit code 3)": (machines.raylet_killed, 3),
    "a worker stopped for 60 s": (machines.worker_stopped, 3),
    "/tmp full": (machines.tmp_full, 3),
    "a trial hangs (limit 5 s)": (vice("--report-timeout", "5s", hang_at=2), 1),
}
COLUMNS = ("fault", "times", "trials lost", "run again", "steps repeated, most", "left running", "recovery, median")


def run(name: str, case: Case, times: int) -> dict[str, Any]:
    found, before = [], measurement.load()
    for number in range(times):
        with tempfile.TemporaryDirectory(prefix="raybayes-faults-") as folder:
            found.append(case(Path(folder), random.Random(derive(0, name, number))))
    seconds = [damage.recovery_s for damage in found if damage.recovery_s is not None]
    values = (
        name, times, sum(d.lost for d in found), sum(d.again for d in found), max(d.steps for d in found),
        sum(d.running for d in found), statistics.median(seconds) if seconds else None,
    )  # fmt: skip
    machine = measurement.this_machine(before)
    facts = {"load": machine.load_after, "machine": str(machine), "versions": machine.versions, "date": machine.date}
    row = {**dict(zip(COLUMNS, values, strict=True)), **facts}
    print(row, file=sys.stderr, flush=True)
    return row


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one fault, once, to see that it runs")
    parser.add_argument(
        "--only", metavar="TEXT", help="the faults that have this in their names; the others' results stay"
    )
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args(argv)
    cases = {name: (case, 1) for name, (case, _) in list(CASES.items())[:1]} if options.quick else CASES
    options.out.mkdir(parents=True, exist_ok=True)
    kept = options.out / "faults.parquet"
    known = {row["fault"]: row for row in pq.read_table(kept).to_pylist()} if options.only and kept.exists() else {}
    for name, (case, times) in cases.items():
        if (options.only or "") in name:
            known[name] = run(name, case, times)
    rows = [known[name] for name in cases if name in known]
    pq.write_table(pa.Table.from_pylist(rows), kept)
    dates, systems = (sorted({row[name] for row in rows}) for name in ("date", "machine"))
    lines = ["# Faults", "", NOTES.strip(), "", f"Measured {', '.join(dates)} on {', '.join(systems)}.", "",
             f"| {' | '.join((*COLUMNS, 'load', 'commit'))} |", "| --- |" + " ---: |" * 7 + " --- |"]  # fmt: skip
    for row in rows:
        *counts, seconds = (row[name] for name in COLUMNS)
        shown = "" if seconds is None else measurement.shown(seconds)
        commit = row["versions"].partition(",")[0].removeprefix("raybayes at ")
        lines.append(f"| {' | '.join(map(str, counts))} | {shown} | {row['load']:.0f} | {commit} |")
    page = "\n".join(lines) + "\n"
    (options.out / "faults.md").write_text(page, encoding="utf-8")
    print(page)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
