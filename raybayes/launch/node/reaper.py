"""Cleans up after a node, however it ends: a process that waits for its employer's death and leaves nothing behind."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from raybayes.launch.cluster_paths import read_json, write_json
from raybayes.launch.node import processes

SCRATCH_PREFIX = "rb"
_OWNER = "owner.json"


@contextlib.contextmanager
def hire(mark: str, scratch: str, record: Path) -> Iterator[tuple[int, float]]:
    """Have a janitor end the node's processes and remove its folder and record, when the block is left or we die.

    Yields:
        The janitor's process number and birth.
    """
    write_json(Path(scratch) / _OWNER, {"pid": os.getpid(), "born": processes.born(os.getpid()), "mark": mark})
    janitor = subprocess.Popen(
        [sys.executable, "-m", "raybayes.launch.node.reaper", mark, scratch, str(record)],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    assert janitor.stdin is not None
    try:
        yield janitor.pid, processes.born(janitor.pid)
    finally:
        janitor.stdin.close()
        if janitor.wait() < 0:  # it was killed itself
            clean(mark, scratch, record)


def clean(mark: str, scratch: str, record: Path) -> int:
    """End, then remove. The folder goes last, as the sign that all is done."""
    left = processes.end(mark, scratch)
    with contextlib.suppress(OSError):
        record.unlink(missing_ok=True)
    for _ in range(10):  # a dying process may write once more
        shutil.rmtree(scratch, ignore_errors=True)
        if not os.path.exists(scratch):
            break
        time.sleep(0.2)
    return 1 if left else 0


def sweep_stale(scratch: str) -> None:
    """Remove our own folders whose node and janitor were both killed, and what may still run of them."""
    for folder in Path(scratch).glob(f"{SCRATCH_PREFIX}{os.getuid()}-*"):
        owner = read_json(folder / _OWNER)
        if owner is None or processes.same(owner["pid"], owner["born"]) or _cleaning(str(folder)):
            continue
        clean(owner["mark"], str(folder), folder / "no-record")


def _cleaning(scratch: str) -> bool:
    import psutil

    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            words = process.cmdline()
            if "raybayes.launch.node.reaper" in words and scratch in words:
                return True
    return False


if __name__ == "__main__":
    # Batch systems signal every process of a job; this one is needed most after that.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()  # until the employer closes it, or is gone
    sys.exit(clean(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
