"""Checks before a cluster is started: each is one small function that returns one finding and changes nothing."""

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

from raybayes.engine.on_ray.ray_internals import LONGEST_SOCKET
from raybayes.errors import ClusterError
from raybayes.launch.node.ports import PortLease, block_size

SESSION_AND_SOCKET = len(f"/{LONGEST_SOCKET}")
MAX_SOCKET_PATH = 107  # bytes in the address of a Unix socket, without its final zero
SCRATCH_FOLDER = len("/rb1234567-abcdefgh/r")
_FEW_FILES, _TOO_FEW_FILES = 4096, 1024
_LOCAL_DISKS = {"tmpfs", "overlay", "ramfs", "ext4", "ext3", "xfs", "btrfs"}


@dataclass(frozen=True)
class Finding:
    """The result of one check."""

    level: Literal["ok", "warning", "error"]
    text: str


def require_no_errors(findings: Iterable[Finding]) -> None:
    """Raise ClusterError with the text of all errors, if there are any."""
    errors = [finding.text for finding in findings if finding.level == "error"]
    if errors:
        raise ClusterError("\n".join(errors))


def check_commands(*names: str, why: str) -> Iterator[Finding]:
    """Whether programs are on the PATH."""
    for name in names:
        found = shutil.which(name)
        if found is None:
            yield Finding("error", f"{name} is not on the PATH of {socket.gethostname()}: {why}")
        else:
            yield Finding("ok", f"{name}: {found}")


def check_shared_folder(folder: Path, key: str, several: bool) -> Finding:
    """Whether a folder is writable (it is not created), and whether its disk can be shared.

    Args:
        key: how the user sets the folder, for the message.
        several: whether more than one machine must see it.
    """
    parent = next(each for each in (folder, *folder.parents) if each.exists())
    try:
        with tempfile.TemporaryFile(dir=parent):
            pass
    except OSError as error:
        return Finding("error", f"{key} {folder}: not writable on this machine ({error.strerror}); use another folder.")
    disk = _disk_of(parent)
    if several and disk in _LOCAL_DISKS:
        text = f"{key} {folder}: its disk ({disk}) may be local to this machine; all nodes must see the folder."
        return Finding("warning", text)
    return Finding("ok", f"{key} {folder}: writable ({disk})")


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


def check_socket_paths(scratch: str) -> Finding:
    """Whether the paths of Ray's sockets in the scratch folder are short enough: a Unix socket allows 107 bytes."""
    length = len(os.fsencode(scratch.rstrip("/"))) + SCRATCH_FOLDER + SESSION_AND_SOCKET
    if length > MAX_SOCKET_PATH:
        return Finding(
            "error",
            f"scratch {scratch}: the paths of Ray's sockets in it would have {length} bytes, and Linux allows "
            f"{MAX_SOCKET_PATH}; use a folder whose path is {length - MAX_SOCKET_PATH} bytes shorter, such as /tmp.",
        )
    return Finding("ok", f"scratch {scratch}: socket paths of at most {length} bytes (Linux allows {MAX_SOCKET_PATH})")


def check_port_range(low: int, high: int, cpus: int, here: bool) -> Finding:
    """Whether the range is large enough for a node and, for a cluster on this machine, has a free block now."""
    if here:
        try:
            PortLease(low, high, cpus, "check").release()
        except ClusterError as error:
            return Finding("error", str(error))
    size = block_size(cpus)
    blocks = (high - low + 1) // size
    if not blocks:
        return Finding(
            "error", f"ports {low} to {high}: a node with {cpus} CPUs needs {size} in a row; use a wider range."
        )
    return Finding("ok", f"ports {low} to {high}: enough for {blocks} nodes on one machine, {size} ports each")


def check_open_files() -> Finding:
    """Whether a process may open enough files. On most batch systems the nodes inherit this limit."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit == resource.RLIM_INFINITY or limit >= _FEW_FILES:
        return Finding("ok", f"open files per process: {limit}")
    level: Literal["warning", "error"] = "error" if limit < _TOO_FEW_FILES else "warning"
    return Finding(level, f"open files per process: {limit}; Ray needs {_FEW_FILES} or more. Run: ulimit -n 65536")
