"""Starts, watches and ends one Ray node, under srun, over ssh or on this machine.

The supervisor leases free ports, makes a private temporary folder, starts Ray as its child, and ends it at SIGTERM or
when the cluster's folder says stop; it ends itself when Ray does. If the supervisor dies, its reaper removes
everything it left.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from importlib.metadata import version
from pathlib import Path

from raybayes.engine.on_ray.ray_internals import START_TIMED_OUT, NodeTable
from raybayes.errors import ClusterError
from raybayes.launch.cluster_paths import ClusterFolder, Head, NodeRecord, write_json
from raybayes.launch.node import processes
from raybayes.launch.node.membership import Membership
from raybayes.launch.node.network import find_own_address, is_listening
from raybayes.launch.node.ports import PortBlock, PortLease
from raybayes.launch.node.ray_start import RayNode, node_environment, start_command
from raybayes.launch.node.reaper import SCRATCH_PREFIX, remove_dead_nodes, start_reaper

POLL_S = 0.5
_MAX_STARTS = 4


class NodeSupervisor:
    """One Ray node from its start to its end.

    Args:
        options: of the node program.
        folder: the cluster's.
    """

    def __init__(self, options: argparse.Namespace, folder: ClusterFolder) -> None:
        self._options, self._folder, self._host = options, folder, socket.gethostname()
        self._index = int(os.environ.get("SLURM_PROCID", "0")) if options.slurm else 0
        self._is_head = options.head or (options.slurm and self._index == 0)
        self._cpus = options.cpus or len(os.sched_getaffinity(0))
        self._gpus = count_visible_gpus() if options.gpus is None else options.gpus
        self._log = folder.node_log(self._index, self._host)
        self._stop_signal = threading.Event()

    def run(self) -> int:
        """Run Ray until it ends, a signal arrives or the folder says stop.

        Returns:
            The exit code: 3 if Ray ended by itself.

        Raises:
            ClusterError: this node cannot join.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop_signal.set())
        # srun passes the job's warning signal on to every task; the batch program handles it.
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        if not self._folder.token.exists():
            raise ClusterError(
                f"{self._folder.path} has no token on this node; all nodes must share this folder (`raybayes cluster "
                "up` creates it)."
            )
        if self._is_head:
            self._folder.head.unlink(missing_ok=True)
            self._folder.joined.unlink(missing_ok=True)
            return self._run_node(None)
        head = self._wait_for_head()
        return 0 if head is None else self._run_node(head)

    def _wait_for_head(self) -> Head | None:
        """The head once it answers; None if this node must end before."""
        deadline = time.monotonic() + self._options.join_timeout_s
        while time.monotonic() < deadline:
            if self._stop_signal.is_set() or self._folder.stop.exists():
                return None
            head = self._folder.read_head()
            if head is not None and is_listening(head.ip, head.port):
                require_same_versions(head, platform.python_version(), version("ray"))
                return head
            time.sleep(POLL_S)
        raise ClusterError(
            f"the head did not appear in {self._folder.head} within {self._options.join_timeout_s:g} s; see its log "
            f"in {self._folder.logs}."
        )

    def _run_node(self, head: Head | None) -> int:
        """Lease ports and a folder, write the node's record, and run Ray; `head` is None on the head itself."""
        options = self._options
        ip = options.ip or find_own_address(options.interface, None if head is None else head.ip)
        cluster = f"{self._folder.path.name}-{os.urandom(4).hex()}" if head is None else head.id
        remove_dead_nodes(options.scratch)
        scratch = _make_private_folder(options.scratch)
        mark = f"{cluster}/{self._index}@{self._host}/{os.getpid()}"
        record = self._folder.node(self._index, self._host)
        with start_reaper(mark, scratch, record) as reaper:
            key = mark if head is None else f"{cluster}-{self._index}"
            lease = PortLease(options.ports[0], options.ports[1], self._cpus, key)
            block = lease.block
            pid = os.getpid()
            write_json(
                record,
                NodeRecord(
                    self._host, pid, processes.start_time(pid), reaper, mark, scratch, (block.first, block.size),
                    head is None,
                ),
            )  # fmt: skip
            node = self._ray_node(ip, head, scratch, block)
            code = self._run_ray(node, mark, scratch, self._own_head(cluster, ip, block) if head is None else None)
            lease.release()
        return code

    def _ray_node(self, ip: str, head: Head | None, scratch: str, block: PortBlock) -> RayNode:
        options = self._options
        inner = Path(scratch) / "r"  # Ray opens its temporary folder to everybody; the one around it stays closed
        inner.mkdir(mode=0o700)
        config = options.autoscaling_config and os.path.expanduser(options.autoscaling_config)
        address = None if head is None else head.address
        return RayNode(ip, address, str(inner), block, self._cpus, self._gpus, options.object_store_mb, config)

    def _own_head(self, cluster: str, ip: str, block: PortBlock) -> Head:
        ports = block.service("port"), block.service("dashboard-port")
        return Head(cluster, self._host, ip, *ports, platform.python_version(), version("ray"))

    def _run_ray(self, node: RayNode, mark: str, scratch: str, own_head: Head | None) -> int:
        """Start Ray and watch it; start it again if a busy machine made its start time out. The exit code."""
        for attempt in range(1, _MAX_STARTS + 1):
            code = self._watch(self._start_ray(node, mark), own_head)
            if code == 0 or attempt == _MAX_STARTS or not self._start_timed_out():
                break
            print(f"{self._host}: the machine is busy; restarting Ray", file=sys.stderr, flush=True)
            processes.end_processes(mark, scratch)
        return code

    def _start_timed_out(self) -> bool:
        """Whether Ray gave up on a busy machine: `ray start` waits 30 s for its own processes, which cannot be set."""
        return START_TIMED_OUT in self._log.read_text("utf-8", errors="replace")[-2000:]

    def _start_ray(self, node: RayNode, mark: str) -> subprocess.Popen[bytes]:
        variables = node_environment(os.environ, self._folder, node, mark, sys.executable, self._options.results)
        self._folder.set_token_variables(os.environ)
        with self._log.open("ab") as log:
            return subprocess.Popen(
                start_command(sys.executable, node), env=variables, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                start_new_session=True, cwd=node.scratch,
            )  # fmt: skip

    def _watch(self, ray: subprocess.Popen[bytes], own_head: Head | None) -> int:
        """Wait until this node must end (0) or Ray has ended (3); on the head, publish which nodes have joined."""
        membership = None
        if own_head is not None:
            membership = Membership(own_head, self._folder, NodeTable(own_head.address))
        while not (self._stop_signal.wait(POLL_S) or self._folder.stop.exists()):
            if ray.poll() is not None:
                print(
                    f"{self._host}: Ray ended by itself (exit code {ray.returncode}); see the end of {self._log}",
                    file=sys.stderr,
                    flush=True,
                )
                return 3
            if membership is not None:
                membership.publish()
        return 0


def require_same_versions(head: Head, python: str, ray: str) -> None:
    """Raise ClusterError unless this node has the head's Python and Ray: pickled functions need both to be equal."""
    if (python, ray) != (head.python, head.ray):
        raise ClusterError(
            f"this node has Python {python} and Ray {ray}; the head {head.host} has Python {head.python} and Ray "
            f"{head.ray}. Use one environment, at one path, for all nodes."
        )


def count_visible_gpus() -> int:
    """GPUs that this process may use, according to CUDA_VISIBLE_DEVICES or else to the driver."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([part for part in visible.split(",") if part.strip() and part.strip() not in ("-1", "NoDevFiles")])
    return len(list(Path("/proc/driver/nvidia/gpus").glob("*")))


def _make_private_folder(scratch: str) -> str:
    try:
        return tempfile.mkdtemp(prefix=f"{SCRATCH_PREFIX}{os.getuid()}-", dir=scratch)
    except OSError as error:
        raise ClusterError(
            f"scratch {scratch!r} cannot be used on {socket.gethostname()} ({error.strerror}); use a folder that "
            "exists on every node and that you can write."
        ) from None
