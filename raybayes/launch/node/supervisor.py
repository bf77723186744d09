"""Starts, watches and ends one Ray node: `python -m raybayes.launch.node --folder DIR --head|--worker|--slurm`.

The same program runs under srun, over ssh and on this machine. It takes free ports and a private temp folder, starts
Ray as its child, and ends it when it is told to (SIGTERM), when Ray ends, or when it dies itself: a janitor process
waits for that and leaves nothing behind.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from raybayes.errors import ClusterError
from raybayes.launch.cluster_paths import ClusterFolder, Head, read_json, write_json
from raybayes.launch.node import processes
from raybayes.launch.node.membership import Membership
from raybayes.launch.node.network import answers, own_address
from raybayes.launch.node.ports import PortLease
from raybayes.launch.node.ray_start import RayNode, environment, start_command
from raybayes.launch.node.reaper import SCRATCH_PREFIX, hire, sweep_stale
from raybayes.launch.node.teardown import end_here, end_node

POLL_S = 0.5
_STARTS = 4


def parser() -> argparse.ArgumentParser:
    """The options, which cluster files for `ray up` use too."""
    made = argparse.ArgumentParser(prog="raybayes.launch.node", description=__doc__)
    role = made.add_mutually_exclusive_group(required=True)
    role.add_argument("--head", action="store_true")
    role.add_argument("--worker", action="store_true")
    role.add_argument("--slurm", action="store_true", help="task 0 of the step is the head")
    role.add_argument("--end", action="store_true", help="end this host's nodes of the cluster")
    made.add_argument("--folder", required=True, help="the cluster's folder, seen by all nodes")
    made.add_argument("--nodes", type=int, default=1, help="how many nodes will join")
    made.add_argument("--ip", help="this node's address, if it is not the one that the head is reached from")
    made.add_argument("--interface", help="take the address of this interface")
    made.add_argument("--scratch", default="/tmp", help="folder on this node for sockets and logs; short")
    made.add_argument("--ports", type=int, nargs=2, default=(20000, 30000), metavar=("FIRST", "LAST"))
    made.add_argument("--cpus", type=int, help="all that this process may use, if not given")
    made.add_argument("--gpus", type=int, help="all that are visible, if not given")
    made.add_argument("--object-store-mb", type=int)
    made.add_argument("--results", help="storage of sweeps that name none")
    made.add_argument("--autoscaling-config")
    made.add_argument("--join-timeout-s", type=float, default=300)
    made.add_argument("--detach", action="store_true", help="come back once the node is up")
    return made


def main(arguments: Sequence[str]) -> int:
    given = parser().parse_args(arguments)
    folder = ClusterFolder(Path(given.folder).expanduser())
    os.umask(0o077)
    try:
        if given.end:
            return end_here(folder)
        if given.detach:
            return _detached(folder, list(arguments))
        return Node(given, folder).run()
    except ClusterError as error:
        print(f"{socket.gethostname()}: {error}", file=sys.stderr, flush=True)
        folder.refuse(socket.gethostname(), str(error))
        return error.exit_code


class Node:
    """One Ray node from its start to its end."""

    def __init__(self, given: argparse.Namespace, folder: ClusterFolder) -> None:
        self._given, self._folder, self._host = given, folder, socket.gethostname()
        self._index = int(os.environ.get("SLURM_PROCID", "0")) if given.slurm else 0
        self._is_head = given.head or (given.slurm and self._index == 0)
        self._wanted = int(os.environ.get("SLURM_NTASKS", given.nodes)) if given.slurm else given.nodes
        self._cpus = given.cpus or len(os.sched_getaffinity(0))
        self._gpus = visible_gpus() if given.gpus is None else given.gpus
        self._ending = threading.Event()

    def run(self) -> int:
        """Until Ray ends, a signal comes or the folder says stop; the exit code is 3 if Ray ended by itself."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._ending.set())
        # srun passes the job's warning signal on to every task; the batch program answers it.
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        if not self._folder.token.exists():
            raise ClusterError(
                f"{self._folder.path} has no token here; this folder must be shared by all nodes (`raybayes cluster "
                "up` makes it)."
            )
        if self._is_head:
            self._folder.head.unlink(missing_ok=True)
            self._folder.joined.unlink(missing_ok=True)
            head = None
        else:
            head = self._wait_for_head()
            if head is None:
                return 0
        return self._serve(head)

    def _wait_for_head(self) -> Head | None:
        """The head once it answers; None when this node is told to end before."""
        deadline = time.monotonic() + self._given.join_timeout_s
        while time.monotonic() < deadline:
            if self._ending.is_set() or self._folder.stop.exists():
                return None
            head = self._folder.read_head()
            if head is not None and answers(head.ip, head.port):
                refuse_other_versions(head, platform.python_version(), version("ray"))
                return head
            time.sleep(POLL_S)
        raise ClusterError(
            f"the head did not appear in {self._folder.head} within {self._given.join_timeout_s:g} s; see its log "
            f"in {self._folder.logs}."
        )

    def _serve(self, head: Head | None) -> int:
        given = self._given
        ip = given.ip or own_address(given.interface, None if head is None else head.ip)
        identity = f"{self._folder.path.name}-{os.urandom(4).hex()}" if head is None else head.id
        sweep_stale(given.scratch)
        scratch = _private_folder(given.scratch)
        mark = f"{identity}/{self._index}@{self._host}/{os.getpid()}"
        record = self._folder.node(self._index, self._host)
        with hire(mark, scratch, record) as janitor:
            claim = PortLease(
                given.ports[0], given.ports[1], self._cpus, mark if head is None else f"{identity}-{self._index}"
            )
            inner = Path(scratch) / "r"  # Ray opens its temp folder to everybody; the one around it stays closed
            inner.mkdir(mode=0o700)
            node = RayNode(
                ip, None if head is None else head.address, str(inner), claim.block, self._cpus, self._gpus,
                given.object_store_mb, given.autoscaling_config and os.path.expanduser(given.autoscaling_config),
            )  # fmt: skip
            write_json(record, {
                "host": self._host, "pid": os.getpid(), "born": processes.born(os.getpid()), "janitor": janitor,
                "mark": mark, "scratch": scratch, "ports": [claim.block.first, claim.block.size], "head": head is None,
            })  # fmt: skip
            announced = Head(
                identity, self._host, ip, claim.block.service("port"), claim.block.service("dashboard-port"),
                platform.python_version(), version("ray"),
            )  # fmt: skip
            for attempt in range(1, _STARTS + 1):
                with self._ray(node, mark) as ray:
                    code = self._watch(ray, announced if head is None else None)
                if code == 0 or attempt == _STARTS or not self._too_slow():
                    break
                print(f"{self._host}: the machine is busy; Ray is started again", file=sys.stderr, flush=True)
                processes.end(mark, scratch)
            claim.release()
        return code

    def _too_slow(self) -> bool:
        """Whether Ray gave up on a busy machine: `ray start` waits 30 s for its own processes, which is fixed there."""
        log = self._folder.node_log(self._index, self._host).read_text("utf-8", errors="replace")
        return "timed out during startup" in log[-2000:]

    @contextlib.contextmanager
    def _ray(self, node: RayNode, mark: str) -> Iterator[subprocess.Popen[bytes]]:
        variables = environment(os.environ, self._folder, node, mark, sys.executable, self._given.results)
        self._folder.authenticate()
        with self._folder.node_log(self._index, self._host).open("ab") as log:
            ray = subprocess.Popen(
                start_command(sys.executable, node), env=variables, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                start_new_session=True, cwd=node.scratch,
            )  # fmt: skip
            yield ray

    def _watch(self, ray: subprocess.Popen[bytes], head: Head | None) -> int:
        """Look after Ray; on the head also tell the folder which nodes have joined."""
        census = Membership(head, self._folder) if head is not None else None
        while not (self._ending.wait(POLL_S) or self._folder.stop.exists()):
            if ray.poll() is not None:
                print(
                    f"{self._host}: Ray ended by itself (exit code {ray.returncode}); its last words are in "
                    f"{self._folder.node_log(self._index, self._host)}",
                    file=sys.stderr,
                    flush=True,
                )
                return 3
            if census is not None:
                census.take()
        return 0


def refuse_other_versions(head: Head, python: str, ray: str) -> None:
    """Ray and pickled functions want one version on all nodes. Raises ClusterError with both."""
    if (python, ray) != (head.python, head.ray):
        raise ClusterError(
            f"Python {python} and Ray {ray} are here, Python {head.python} and Ray {head.ray} on the head {head.host}; "
            "use one environment, at one path, for all nodes."
        )


def visible_gpus() -> int:
    """GPUs that this process may use, by the driver's own list and CUDA_VISIBLE_DEVICES."""
    told = os.environ.get("CUDA_VISIBLE_DEVICES")
    if told is not None:
        return len([part for part in told.split(",") if part.strip() and part.strip() not in ("-1", "NoDevFiles")])
    return len(list(Path("/proc/driver/nvidia/gpus").glob("*")))


def _private_folder(scratch: str) -> str:
    try:
        return tempfile.mkdtemp(prefix=f"{SCRATCH_PREFIX}{os.getuid()}-", dir=scratch)
    except OSError as error:
        raise ClusterError(
            f"scratch {scratch!r} cannot be used on {socket.gethostname()} ({error.strerror}); name a folder that "
            "exists on every node and that you can write."
        ) from None


def _detached(folder: ClusterFolder, arguments: list[str]) -> int:
    """Start the node in a session of its own, and come back when it is up or has failed."""
    rest = [word for word in arguments if word != "--detach"]
    if "--head" in rest:
        folder.clear()
        if not folder.token.exists():
            folder.create()
    before = read_json(folder.node(0, socket.gethostname()))
    if before is not None:
        if "--worker" in rest and _still_ours(before, folder):
            print(f"{socket.gethostname()}: Ray is up already (process {before['pid']})", flush=True)
            return 0
        end_node(before)
    log = folder.logs / f"supervisor-{socket.gethostname()}.log"
    with log.open("ab") as out:
        child = subprocess.Popen(
            [sys.executable, "-m", "raybayes.launch.node", *rest],
            stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
        )  # fmt: skip
    given = parser().parse_args(arguments)
    deadline = time.monotonic() + given.join_timeout_s
    while time.monotonic() < deadline:
        if child.poll() is not None:
            tail = log.read_text(errors="replace").strip().splitlines()[-1:] or ["no reason was given"]
            raise ClusterError(f"the node ended at once: {tail[0]}")
        record = read_json(folder.node(0, socket.gethostname()))
        if record is not None and record["pid"] == child.pid:
            head = folder.read_head() if given.head else None
            manager = record["ports"][0] + 2
            if head is not None or (given.worker and any(answers(a, manager) for a in _own_addresses())):
                print(f"{socket.gethostname()}: Ray is up (process {child.pid})", flush=True)
                return 0
        time.sleep(POLL_S)
    child.terminate()
    raise ClusterError(f"the node was not up within {given.join_timeout_s:g} s; see {folder.logs}.")


def _still_ours(record: dict[str, Any], folder: ClusterFolder) -> bool:
    """Whether a node that runs here belongs to the head that runs now: `ray up` may start a worker twice."""
    head = folder.read_head()
    alive = processes.same(record["pid"], record["born"])
    return alive and head is not None and str(record["mark"]).startswith(f"{head.id}/")


def _own_addresses() -> list[str]:
    import psutil

    return [e.address for entries in psutil.net_if_addrs().values() for e in entries if e.family == socket.AF_INET]
