"""The line between a script and the sweep that started it: JSON, a line a message, over a socket in the file system."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

SOCKET = "RAYBAYES_TRIAL_SOCKET"
TRIAL_DIR = "RAYBAYES_TRIAL_DIR"
CHECKPOINT_EVERY = "RAYBAYES_CHECKPOINT_EVERY"


class ScriptChannel:
    """The script's end. A sweep that is gone answers nothing, and the script trains on.

    Args:
        place: path of the socket.
    """

    def __init__(self, place: str) -> None:
        self.place = place
        self._lock = threading.Lock()
        self._stream: IO[str] | None = None
        self._stop = False
        with contextlib.suppress(OSError):
            line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            line.connect(place)
            self._stream = line.makefile("rw", encoding="utf-8")

    def report(self, metrics: Mapping[str, float]) -> None:
        """Hand over one step; returns when the sweep has decided on it."""
        self._ask({"report": dict(metrics)})

    def resumed_after(self, step: int) -> None:
        """Say that the script continues after a step that it has kept itself."""
        self._ask({"resumed_after": step})

    def should_stop(self) -> bool:
        """Whether the sweep wants the script to end; it waits longer for a script that asks."""
        self._ask({"leaves_by_itself": True})
        return self._stop

    def _ask(self, message: Mapping[str, Any]) -> None:
        if self._stream is None:
            return
        with self._lock:
            try:
                self._stream.write(json.dumps(message) + "\n")
                self._stream.flush()
                answer = self._stream.readline()
            except OSError:
                answer = ""
            if not answer:
                self._stream = None
                return
            self._stop = self._stop or bool(json.loads(answer)["stop"])


class Listener:
    """The sweep's end: answers each message with whether the script must stop.

    Args:
        handle: gets a message, returns whether the script must stop. Called in a thread of the connection, one message
            at a time.
    """

    def __init__(self, handle: Callable[[Mapping[str, Any]], bool]) -> None:
        self._handle = handle
        self._lock = threading.Lock()
        # A path of its own in the temporary folder: sockets take 107 characters, and a sweep's folder may be longer.
        self._folder = tempfile.mkdtemp(prefix="raybayes-")
        self.place = str(Path(self._folder) / "trial")
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._server.bind(self.place)
        self._server.listen()
        threading.Thread(target=self._accept, name="raybayes-script", daemon=True).start()

    def close(self) -> None:
        """Stop listening, and leave no file behind."""
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        with contextlib.suppress(OSError):
            os.unlink(self.place)
            os.rmdir(self._folder)

    def _accept(self) -> None:
        while True:
            try:
                line, _ = self._server.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self._serve, args=(line,), daemon=True).start()

    def _serve(self, line: socket.socket) -> None:
        with line, line.makefile("rw", encoding="utf-8") as stream, contextlib.suppress(OSError, ValueError):
            for text in stream:
                with self._lock:
                    stop = self._handle(json.loads(text))
                stream.write(json.dumps({"stop": stop}) + "\n")
                stream.flush()
