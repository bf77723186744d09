"""A cluster on this machine: one node, as a process."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from pathlib import Path

from raybayes.errors import ClusterError
from raybayes.launch.cluster_paths import ClusterFolder, read_json, write_json
from raybayes.launch.config.cluster_spec import LocalCluster
from raybayes.launch.interface import Say, Status, require_down
from raybayes.launch.node import checks, processes, teardown
from raybayes.launch.node.checks import Finding
from raybayes.launch.node.options import PROGRAM

_POLL_S = 0.3


class LocalLauncher:
    """See `raybayes.launch.interface.Launcher`."""

    def __init__(self, spec: LocalCluster) -> None:
        self._spec, self.folder = spec, ClusterFolder(spec.folder)

    def check(self) -> list[Finding]:
        cpus = self._spec.cpus or len(os.sched_getaffinity(0))
        return [
            checks.check_shared_folder(self.folder.path, "shared", several=False),
            checks.check_socket_paths(self._spec.scratch),
            checks.check_port_range(*self._spec.ports, cpus, here=True),
            checks.check_open_files(),
        ]

    def render(self) -> str:
        return shlex.join(self._command()) + "\n"

    def _command(self) -> list[str]:
        spec = self._spec
        command = [spec.python, "-m", PROGRAM, "--head", "--folder", str(self.folder.path)]
        command += ["--scratch", spec.scratch, "--ports", *map(str, spec.ports)]
        for name, value in (
            ("--cpus", spec.cpus),
            ("--gpus", spec.gpus),
            ("--interface", spec.interface),
            ("--object-store-mb", spec.object_store_mb),
            ("--results", spec.results),
        ):
            command += [name, str(value)] if value is not None else []
        return command

    def up(self, say: Say) -> Status:
        require_down(self.status(), self._spec.name)
        checks.require_no_errors(self.check())
        self.folder.clear_cluster()
        self.folder.create()
        log = self.folder.logs / "supervisor.log"
        with log.open("wb") as out:
            supervisor = subprocess.Popen(
                ["env", *(f"{k}={v}" for k, v in sorted(self._spec.environment.items())), *self._command()],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
            )  # fmt: skip
        say(f"started process {supervisor.pid}; waiting for Ray")
        write_json(self.folder.record, {"pid": supervisor.pid, "born": processes.start_time(supervisor.pid)})
        try:
            return self._wait_until_up(supervisor, log)
        except (ClusterError, KeyboardInterrupt):
            self.down(say)
            raise

    def _wait_until_up(self, supervisor: subprocess.Popen[bytes], log: Path) -> Status:
        deadline = time.monotonic() + self._spec.join_timeout_s
        while time.monotonic() < deadline:
            if supervisor.poll() is not None:
                tail = log.read_text("utf-8", errors="replace").strip().splitlines()[-1:] or [f"see {self.folder.logs}"]
                raise ClusterError(f"the node ended at once: {tail[0]}")
            status = self.status()
            if status.state == "up":
                return status
            time.sleep(_POLL_S)
        raise ClusterError(f"Ray was not up within {self._spec.join_timeout_s:g} s; see {self.folder.logs}.")

    def status(self) -> Status:
        record = read_json(self.folder.record)
        if record is None:
            return Status("down", wanted=1)
        if not processes.is_alive(record["pid"], record["born"]):
            return Status("lost", f"process {record['pid']} has ended", wanted=1)
        head, joined = self.folder.read_head(), self.folder.read_joined()
        detail = f"process {record['pid']}"
        if head is None or joined is None or not joined.hosts:
            return Status("starting", detail, wanted=1)
        return Status("up", detail, joined.hosts, 1, joined.cpus, joined.gpus, head)

    def down(self, say: Say) -> list[str]:
        supervisor = read_json(self.folder.record)
        if supervisor is not None and processes.is_alive(supervisor["pid"], supervisor["born"]):
            say(f"ending process {supervisor['pid']} and its Ray")
            os.kill(supervisor["pid"], signal.SIGTERM)
        left = [pid for record in self.folder.read_nodes() for pid in teardown.end_node(record)]
        self.folder.clear_cluster()
        return [f"process {pid} on this machine" for pid in left]
