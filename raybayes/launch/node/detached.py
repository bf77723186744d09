"""Starts a node that outlives the command that started it, as `ray up` needs it."""

from __future__ import annotations

import argparse
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from raybayes.errors import ClusterError
from raybayes.launch.cluster_paths import ClusterFolder, NodeRecord
from raybayes.launch.node import processes
from raybayes.launch.node.network import is_listening, own_addresses
from raybayes.launch.node.options import PROGRAM
from raybayes.launch.node.ports import PortBlock
from raybayes.launch.node.supervisor import POLL_S
from raybayes.launch.node.teardown import end_node


def start_detached(options: argparse.Namespace, folder: ClusterFolder, arguments: Sequence[str]) -> int:
    """Start the node in a session of its own, and return when it is up; a worker that is up already stays.

    Args:
        arguments: the command line that `options` were parsed from.

    Returns:
        The exit code, 0.

    Raises:
        ClusterError: the node ended, or was not up in time.
    """
    if options.head:
        folder.clear_start()
        if not folder.token.exists():
            folder.create()
    host = socket.gethostname()
    earlier = folder.read_node(0, host)
    if earlier is not None:
        if options.worker and _belongs_to_current_head(earlier, folder):
            print(f"{host}: Ray is already up (process {earlier.pid})", flush=True)
            return 0
        end_node(earlier)
    log = folder.logs / f"supervisor-{host}.log"
    with log.open("ab") as out:
        supervisor = subprocess.Popen(
            [sys.executable, "-m", PROGRAM, *(word for word in arguments if word != "--detach")],
            stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
        )  # fmt: skip
    _wait_until_up(supervisor, options, folder, log)
    print(f"{host}: Ray is up (process {supervisor.pid})", flush=True)
    return 0


def _wait_until_up(
    supervisor: subprocess.Popen[bytes], options: argparse.Namespace, folder: ClusterFolder, log: Path
) -> None:
    deadline = time.monotonic() + options.join_timeout_s
    while time.monotonic() < deadline:
        if supervisor.poll() is not None:
            tail = log.read_text(errors="replace").strip().splitlines()[-1:] or ["it printed no reason"]
            raise ClusterError(f"the node ended at once: {tail[0]}")
        record = folder.read_node(0, socket.gethostname())
        if record is not None and record.pid == supervisor.pid and _is_up(record, options, folder):
            return
        time.sleep(POLL_S)
    supervisor.terminate()
    raise ClusterError(f"the node was not up within {options.join_timeout_s:g} s; see {folder.logs}.")


def _is_up(record: NodeRecord, options: argparse.Namespace, folder: ClusterFolder) -> bool:
    if options.head and folder.read_head() is not None:
        return True
    manager = PortBlock(*record.ports).service("node-manager-port")
    return options.worker and any(is_listening(address, manager) for address in own_addresses())


def _belongs_to_current_head(record: NodeRecord, folder: ClusterFolder) -> bool:
    """Whether a node that runs here belongs to the head that runs now: `ray up` may start a worker twice."""
    head = folder.read_head()
    return processes.is_alive(record.pid, record.born) and head is not None and record.mark.startswith(f"{head.id}/")
