"""Finding and ending the processes of one Ray node, and of no other: never `ray stop`, which has no such filter.

A process belongs to a node if it was started with the node's mark in its environment, keeps a file open below the
node's own temp folder, names that folder in its command line, or descends from one that does. Several rules, because
Ray's workers overwrite their environment when they set their title, and lose their parent when the raylet dies.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator

import psutil

MARK = "RAYBAYES_NODE"
GRACE_S = 4.0


def of_node(mark: str, scratch: str) -> list[psutil.Process]:
    """The living processes of a node."""
    mine = {os.getpid(), os.getppid()}
    roots = [p for p in _visible() if p.pid not in mine and _belongs(p, mark, scratch)]
    found = {process.pid: process for process in roots}
    for process in roots:
        with contextlib.suppress(psutil.Error):
            found |= {child.pid: child for child in process.children(recursive=True) if child.pid not in mine}
    return [process for process in found.values() if _alive(process)]


def _visible() -> Iterator[psutil.Process]:
    user = os.getuid()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.uids().real == user:
                yield process


def _belongs(process: psutil.Process, mark: str, scratch: str) -> bool:
    inside = scratch.rstrip("/") + "/"
    with contextlib.suppress(psutil.Error, OSError):
        if process.environ().get(MARK) == mark:
            return True
    with contextlib.suppress(psutil.Error, OSError):
        if any(inside in word for word in process.cmdline()):
            return True
    with contextlib.suppress(psutil.Error, OSError):
        return any(file.path.startswith(inside) for file in process.open_files())
    return False


def _alive(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


def end(mark: str, scratch: str, grace_s: float = GRACE_S, patience_s: float = 20.0) -> list[int]:
    """End a node's processes: ask, wait, then kill, until none is left. Returns those that would not die."""
    deadline = time.monotonic() + patience_s
    asked: dict[int, psutil.Process] = {}
    kill_at = time.monotonic() + grace_s
    while time.monotonic() < deadline:
        left = of_node(mark, scratch)
        left += [process for process in asked.values() if _alive(process) and process not in left]
        if not left:
            return []
        for process in left:
            with contextlib.suppress(psutil.Error):
                if time.monotonic() >= kill_at:
                    process.kill()
                elif process.pid not in asked:
                    asked[process.pid] = process
                    process.terminate()
        time.sleep(0.2)
    return [process.pid for process in of_node(mark, scratch)]


def same(pid: int, born: float) -> bool:
    """Whether a recorded process still lives; numbers of processes are used again, so its birth counts too."""
    with contextlib.suppress(psutil.Error):
        return bool(abs(psutil.Process(pid).create_time() - born) < 2) and _alive(psutil.Process(pid))
    return False


def born(pid: int) -> float:
    """When a process started (Unix epoch)."""
    return float(psutil.Process(pid).create_time())
