"""A helper process that waits for a node's supervisor to exit, then ends and removes everything that the node left."""

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

import psutil

from raybayes.launch.cluster_paths import read_json, write_json
from raybayes.launch.node import processes

SCRATCH_PREFIX = "rb"
_OWNER = "owner.json"
_PROGRAM = "raybayes.launch.node.reaper"


@contextlib.contextmanager
def start_reaper(mark: str, scratch: str, record: Path) -> Iterator[tuple[int, float]]:
    """Start a reaper that removes the node when this block is left or this process dies.

    Args:
        mark: the value of `processes.MARK_VARIABLE` in the node's processes.
        scratch: the node's temporary folder.
        record: the file of the node's record.

    Yields:
        The reaper's process number and start time.
    """
    owner = {"pid": os.getpid(), "born": processes.start_time(os.getpid()), "mark": mark}
    write_json(Path(scratch) / _OWNER, owner)
    reaper = subprocess.Popen(
        [sys.executable, "-m", _PROGRAM, mark, scratch, str(record)],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    assert reaper.stdin is not None
    try:
        yield reaper.pid, processes.start_time(reaper.pid)
    finally:
        reaper.stdin.close()
        if reaper.wait() < 0:  # it was killed itself
            remove_node(mark, scratch, record)


def remove_node(mark: str, scratch: str, record: Path) -> int:
    """End a node's processes, then remove its record and, last, its folder: that it is gone means all is done.

    Returns:
        The exit code: 1 if a process still runs.
    """
    left = processes.end_processes(mark, scratch)
    with contextlib.suppress(OSError):
        record.unlink(missing_ok=True)
    for _ in range(10):  # a dying process may write once more
        shutil.rmtree(scratch, ignore_errors=True)
        if not os.path.exists(scratch):
            break
        time.sleep(0.2)
    return 1 if left else 0


def remove_dead_nodes(scratch: str) -> None:
    """Remove this user's nodes whose supervisor and reaper were both killed, with the processes that still run."""
    for folder in Path(scratch).glob(f"{SCRATCH_PREFIX}{os.getuid()}-*"):
        owner = read_json(folder / _OWNER)
        if owner is None or processes.is_alive(owner["pid"], owner["born"]) or _has_reaper(str(folder)):
            continue
        remove_node(owner["mark"], str(folder), folder / "no-record")


def _has_reaper(scratch: str) -> bool:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            words = process.cmdline()
            if _PROGRAM in words and scratch in words:
                return True
    return False


if __name__ == "__main__":
    # Batch systems signal every process of a job; this one is needed most after that.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()  # until the supervisor closes it, or is gone
    sys.exit(remove_node(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
