"""Runs a command so that none of its processes outlives it: `python -m raybayes.training.processes SECONDS -- COMMAND`.

The keeper is the parent of all that the command leaves behind (Linux: a child subreaper), however often it forks or
changes its session. It ends them when the command has ended, when it gets SIGTERM, and when its own parent is gone,
which it sees because its standard input closes.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence

import psutil

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


def main(arguments: Sequence[str]) -> int:
    """Run the command; its exit code, or 128 + the signal that ended it."""
    grace_s, command = float(arguments[0]), list(arguments[2:])
    _adopt_orphans()
    keeper = Keeper(command, grace_s)
    signal.signal(signal.SIGTERM, lambda number, frame: keeper.end())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the terminal's process group: the sweep decides
    threading.Thread(target=_watch_parent, args=(keeper,), daemon=True).start()
    return keeper.wait()


def _adopt_orphans() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _watch_parent(keeper: Keeper) -> None:
    with contextlib.suppress(OSError):
        while os.read(0, 1):
            pass
    keeper.end()


class Keeper:
    """The command, and all processes that descend from it.

    Args:
        command: program and arguments.
        grace_s: seconds from SIGTERM to SIGKILL.
    """

    def __init__(self, command: Sequence[str], grace_s: float) -> None:
        self._grace_s = grace_s
        self._ending = threading.Event()
        self._child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)

    def end(self) -> None:
        """Ask all processes to end; those that do not within the grace are killed."""
        if self._ending.is_set():
            return
        self._ending.set()
        self._signal(signal.SIGTERM)
        killer = threading.Timer(self._grace_s, self._signal, [signal.SIGKILL])
        killer.daemon = True
        killer.start()

    def wait(self) -> int:
        """Until the command has ended and nothing of it is left."""
        code = self._child.wait()
        self._end_left_overs()
        return 128 - code if code < 0 else code

    def _end_left_overs(self) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            left = self._descendants()
            for process in left:
                with contextlib.suppress(psutil.Error):
                    process.send_signal(number)
            if not psutil.wait_procs(left, timeout=min(self._grace_s, 5.0))[1]:
                return

    def _signal(self, number: signal.Signals) -> None:
        for process in self._descendants():
            with contextlib.suppress(psutil.Error):
                process.send_signal(number)

    def _descendants(self) -> list[psutil.Process]:
        found: list[psutil.Process] = psutil.Process().children(recursive=True)
        return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
