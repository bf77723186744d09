"""Who holds the lock of a sweep, as its file says it."""

from __future__ import annotations

import getpass
import json
import os
import socket
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Holder:
    """The holder of a lock.

    Args:
        host: name of its machine.
        pids: the namespace of its `pid`; containers on one machine may have their own.
        pid: id of its process.
        born: when the process started (Unix epoch), because process ids are reused.
        started: when it took the lock (Unix epoch, by its clock).
        heartbeat: when it last said that it was alive (Unix epoch, by its clock).
        token: unique to this holder.
        beats: how often it has said so.
        user: whose process it is.
    """

    host: str
    pids: str
    pid: int
    born: float
    started: float
    heartbeat: float
    token: str
    beats: int = 0
    user: str = ""


def myself(now: float) -> Holder:
    """This process as a holder that takes a lock now."""
    born, token = psutil.Process().create_time(), uuid.uuid4().hex
    return Holder(socket.gethostname(), _process_space(), os.getpid(), born, now, now, token, user=_user())


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return ""


def _process_space() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip() + " " + os.readlink("/proc/self/ns/pid")
    except OSError:  # not Linux
        return ""


def runs(holder: Holder) -> bool:
    """Whether the process of a holder on this machine is alive."""
    try:
        process = psutil.Process(holder.pid)
        return bool(abs(process.create_time() - holder.born) < 2.0 and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def to_json(holder: Holder) -> bytes:
    """The content of a lock."""
    return json.dumps(asdict(holder), indent=1).encode()


def parse_holder(data: bytes | None) -> Holder | None:
    """The holder that the content of a lock names; None if it names none."""
    try:
        return Holder(**json.loads(data or b""))
    except (ValueError, TypeError):
        return None


def unknown_holder(now: float) -> Holder:
    """The holder of a lock that cannot be read."""
    return Holder("an unknown machine", "", 0, now, now, now, "")
