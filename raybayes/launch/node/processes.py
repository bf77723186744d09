"""Finds and ends the processes of one Ray node and of no other; `ray stop` cannot tell them apart.

A process belongs to a node if it was started with the node's mark in its environment, has a file open in the node's
temporary folder, names that folder in its command line, or descends from such a process. One rule is not enough:
Ray's workers overwrite their environment when they set their title, and lose their parent when the raylet dies.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator

import psutil

MARK_VARIABLE = "RAYBAYES_NODE"
KILL_AFTER_S = 4.0


def find_processes(mark: str, scratch: str) -> list[psutil.Process]:
    """The living processes of a node, without this process and its parent."""
    excluded = {os.getpid(), os.getppid()}
    roots = [p for p in _own_processes() if p.pid not in excluded and _belongs_to_node(p, mark, scratch)]
    found = {process.pid: process for process in roots}
    for process in roots:
        with contextlib.suppress(psutil.Error):
            found |= {child.pid: child for child in process.children(recursive=True) if child.pid not in excluded}
    return [process for process in found.values() if _is_running(process)]


def _own_processes() -> Iterator[psutil.Process]:
    user = os.getuid()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.uids().real == user:
                yield process


def _belongs_to_node(process: psutil.Process, mark: str, scratch: str) -> bool:
    inside = scratch.rstrip("/") + "/"
    with contextlib.suppress(psutil.Error, OSError):
        if process.environ().get(MARK_VARIABLE) == mark:
            return True
    with contextlib.suppress(psutil.Error, OSError):
        if any(inside in word for word in process.cmdline()):
            return True
    with contextlib.suppress(psutil.Error, OSError):
        return any(file.path.startswith(inside) for file in process.open_files())
    return False


def _is_running(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


def end_processes(mark: str, scratch: str, kill_after_s: float = KILL_AFTER_S, timeout_s: float = 20.0) -> list[int]:
    """End a node's processes: send SIGTERM, wait, then SIGKILL, until none is left.

    Returns:
        The numbers of processes that still run after `timeout_s`.
    """
    deadline = time.monotonic() + timeout_s
    terminated: dict[int, psutil.Process] = {}
    kill_at = time.monotonic() + kill_after_s
    while time.monotonic() < deadline:
        left = find_processes(mark, scratch)
        left += [process for process in terminated.values() if _is_running(process) and process not in left]
        if not left:
            return []
        for process in left:
            with contextlib.suppress(psutil.Error):
                if time.monotonic() >= kill_at:
                    process.kill()
                elif process.pid not in terminated:
                    terminated[process.pid] = process
                    process.terminate()
        time.sleep(0.2)
    return [process.pid for process in find_processes(mark, scratch)]


def is_alive(pid: int, born: float) -> bool:
    """Whether a recorded process still runs. Process numbers are used again, so the start time must agree too."""
    with contextlib.suppress(psutil.Error):
        return bool(abs(psutil.Process(pid).create_time() - born) < 2) and _is_running(psutil.Process(pid))
    return False


def start_time(pid: int) -> float:
    """When a process started (Unix epoch)."""
    return float(psutil.Process(pid).create_time())
