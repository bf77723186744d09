"""What can be seen from here before a cluster is started: each look is one small function with one finding."""

from __future__ import annotations

import os
import resource
import shutil
import socket
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from raybayes.errors import ClusterError
from raybayes.launch.node import ports

# "/session_2026-01-31_14-25-01_123456_1234567" and "/sockets/dash_MetricsHead", the longest that Ray 2.60 makes.
SESSION_AND_SOCKET = 43 + 25
UNIX_PATH = 107  # bytes in the address of a Unix socket, without its final zero
SCRATCH_FOLDER = len("/rb1234567-abcdefgh/r")
_FEW_FILES, _TOO_FEW_FILES = 4096, 1024
_OWN_DISKS = {"tmpfs", "overlay", "ramfs", "ext4", "ext3", "xfs", "btrfs"}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    level: Literal["ok", "warning", "error"]
    text: str


def raise_errors(findings: Iterable[Finding]) -> None:
    """Refuse to start over errors."""
    errors = [finding.text for finding in findings if finding.level == "error"]
    if errors:
        raise ClusterError("\n".join(errors))


def commands(*names: str, why: str) -> Iterator[Finding]:
    """Programs that must be on the PATH."""
    for name in names:
        found = shutil.which(name)
        if found is None:
            yield Finding("error", f"{name} is not on the PATH of {socket.gethostname()}: {why}")
        else:
            yield Finding("ok", f"{name}: {found}")


def shared_folder(folder: Path, what: str, several: bool) -> Finding:
    """That a folder can be written (nothing is made), and whether its disk looks shared."""
    parent = next(each for each in (folder, *folder.parents) if each.exists())
    try:
        with tempfile.TemporaryFile(dir=parent):
            pass
    except OSError as error:
        return Finding("error", f"{what} {folder}: cannot be written here ({error.strerror}); name another folder.")
    disk = _disk_of(parent)
    if several and disk in _OWN_DISKS:
        text = f"{what} {folder}: its disk ({disk}) may be this machine's own; all nodes must see the folder."
        return Finding("warning", text)
    return Finding("ok", f"{what} {folder}: writable ({disk})")


def _disk_of(folder: Path) -> str:
    """The file system's type, from the longest mount point that contains the folder."""
    best, kind = "", "unknown"
    path = str(folder.resolve())
    try:
        mounts = Path("/proc/mounts").read_text(encoding="utf-8").splitlines()
    except OSError:
        return kind
    for line in mounts:
        _, point, found, *_ = line.split(" ")
        if (path == point or path.startswith(point.rstrip("/") + "/")) and len(point) >= len(best):
            best, kind = point, found
    return kind


def socket_paths(scratch: str) -> Finding:
    """That Ray's sockets fit below the scratch folder: a Unix socket's path has at most 107 bytes."""
    length = len(os.fsencode(scratch.rstrip("/"))) + SCRATCH_FOLDER + SESSION_AND_SOCKET
    if length > UNIX_PATH:
        return Finding(
            "error",
            f"scratch {scratch}: Ray's sockets below it would have paths of {length} bytes, and Linux allows "
            f"{UNIX_PATH}; name a folder that is {length - UNIX_PATH} bytes shorter, such as /tmp.",
        )
    return Finding("ok", f"scratch {scratch}: socket paths of {length} bytes at most (of {UNIX_PATH})")


def port_range(low: int, high: int, cpus: int, here: bool) -> Finding:
    """That the range has room for a node (and, for a cluster on this machine, a free block now)."""
    if here:
        try:
            claim = ports.PortLease(low, high, cpus, "check")
        except ClusterError as error:
            return Finding("error", str(error))
        claim.release()
    size = ports.size_for(cpus)
    room = (high - low + 1) // size
    if not room:
        return Finding(
            "error", f"ports {low} to {high}: a node with {cpus} CPUs needs {size} in a row; widen the range."
        )
    return Finding("ok", f"ports {low} to {high}: room for {room} nodes on one machine, {size} ports each")


def open_files() -> Finding:
    """That a process may open enough files; the nodes inherit it from here on most batch systems."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit == resource.RLIM_INFINITY or limit >= _FEW_FILES:
        return Finding("ok", f"open files a process: {limit}")
    level: Literal["warning", "error"] = "error" if limit < _TOO_FEW_FILES else "warning"
    return Finding(level, f"open files a process: {limit}, and Ray wants {_FEW_FILES} or more; run ulimit -n 65536.")
