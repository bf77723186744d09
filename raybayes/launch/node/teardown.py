"""Ends a cluster's nodes on this host from outside, and removes what `ray up` left here."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import time
from pathlib import Path

from raybayes.engine.on_ray.ray_internals import ray_up_files
from raybayes.launch.cluster_paths import ClusterFolder, NodeRecord
from raybayes.launch.node import processes
from raybayes.launch.node.reaper import remove_dead_nodes


def end_nodes_here(folder: ClusterFolder) -> int:
    """End this host's nodes of a cluster and print as JSON which processes are left.

    Returns:
        The exit code: 3 if a process is left.
    """
    host, left = socket.gethostname(), []
    for record in folder.read_nodes():
        if record.host == host:
            left += end_node(record)
    remove_ray_up_files(folder.path.name)
    print(json.dumps({"host": host, "left": left}), flush=True)
    return 3 if left else 0


def end_node(record: NodeRecord, timeout_s: float = 40.0) -> list[int]:
    """Ask a node's supervisor to end, wait for it and its reaper, then end the processes that are left.

    Returns:
        The numbers of processes that still run.
    """
    if processes.is_alive(record.pid, record.born):
        os.kill(record.pid, signal.SIGTERM)
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if not (processes.is_alive(record.pid, record.born) or processes.is_alive(*record.reaper)):
            break
        time.sleep(0.2)
    left = processes.end_processes(record.mark, record.scratch)
    remove_dead_nodes(str(Path(record.scratch).parent))
    return left


def remove_ray_up_files(cluster: str) -> None:
    """Remove what `ray up` left of a cluster on the launching machine and on the head, a private key among it."""
    files = ray_up_files(cluster)
    shutil.rmtree(files.sockets, ignore_errors=True)
    with contextlib.suppress(OSError):
        files.sockets.parent.rmdir()  # other clusters of this user may have theirs in it
    with contextlib.suppress(OSError):
        text = files.config.read_text(encoding="utf-8").replace('"', "").replace(",", "\n")
        if f"cluster_name: {cluster}\n" in text:
            files.key.unlink(missing_ok=True)
            files.config.unlink()
    for path in (files.state, files.lock):
        with contextlib.suppress(OSError):
            path.unlink()
