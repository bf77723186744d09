"""What a Slurm job runs on its first node: Ray on all nodes, then one command, then the end or the queue again.

The wall-time signal (USR1) becomes a clean end of the sweep's burst: running trials write a checkpoint, the command
ends with exit code 75, and the job asks Slurm to be queued again; the next start goes on with the same sweep. TERM
(`raybayes jobs stop`, `scancel --batch`) ends the burst the same way, without a return to the queue.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from raybayes.clock import WALL, Clock
from raybayes.errors import ClusterError, OutOfTime
from raybayes.launch.cluster_paths import ClusterFolder, read_json, write_json

AGAIN = OutOfTime.exit_code
LOST = ClusterError.exit_code
_LOSSES = 3  # times in a row that a cluster may be lost before the job gives up
_POLL_S = 0.5
_STOP_NODES_S = 60.0


def main(arguments: Sequence[str]) -> int:
    own = argparse.ArgumentParser(prog="raybayes.launch.batch", description=__doc__)
    own.add_argument("--folder", required=True)
    own.add_argument("--node", required=True, help="options of every node, one quoted text")
    own.add_argument("--requeues", type=int, default=100)
    own.add_argument("--join-timeout-s", type=float, default=300)
    own.add_argument("command", nargs="*")
    given = own.parse_args(arguments)
    os.umask(0o077)
    batch = Batch(ClusterFolder(Path(given.folder)), shlex.split(given.node), given.command)
    return batch.run(given.join_timeout_s, given.requeues)


class Batch:
    """One start of the job.

    Args:
        folder: the job's folder.
        node: options of `raybayes.launch.node`.
        command: arguments of raybayes; none: nothing to run, only to stay.
        program: what takes the arguments.
    """

    def __init__(
        self,
        folder: ClusterFolder,
        node: list[str],
        command: list[str],
        program: Sequence[str] = (sys.executable, "-m", "raybayes"),
        clock: Clock = WALL,
    ) -> None:
        self._folder, self._node, self._command = folder, node, command
        self._program, self._clock = program, clock
        self._driver: subprocess.Popen[bytes] | None = None
        self._signal: int | None = None

    def run(self, join_timeout_s: float, requeues: int) -> int:
        """From the start to the exit code of the job."""
        for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._heard)
        restart = int(os.environ.get("SLURM_RESTART_COUNT", "0"))
        job, hosts = (os.environ.get(name, "?") for name in ("SLURM_JOB_ID", "SLURM_JOB_NODELIST"))
        _say(f"start {restart + 1} of job {job} on {hosts}")
        self._folder.clear()
        began = self._clock.elapsed()
        nodes = subprocess.Popen(self._srun(), stdin=subprocess.DEVNULL)
        try:
            joined = self._wait_for_nodes(nodes, join_timeout_s)
            if joined:
                _say(f"all {self._wanted} nodes have joined after {self._clock.elapsed() - began:.1f} s")
            code = self._work(nodes) if joined else self._never_began
        finally:
            self._stop(nodes)
        return self._conclude(code, requeues, restart, joined)

    @property
    def _told_to_end(self) -> bool:
        return self._signal is not None or self._folder.stop.exists()

    @property
    def _never_began(self) -> int:
        if not self._told_to_end:
            return LOST
        return AGAIN if self._command else 0

    @property
    def _wanted(self) -> int:
        return int(os.environ.get("SLURM_NTASKS", "1"))

    def _srun(self) -> list[str]:
        cpus = os.environ.get("SLURM_CPUS_PER_TASK")  # srun no longer takes it over from the job by itself
        bound = [f"--cpus-per-task={cpus}"] if cpus else []
        options = ["srun", f"--ntasks={self._wanted}", *bound, "--kill-on-bad-exit=0", "--wait=0"]
        return [*options, sys.executable, "-m", "raybayes.launch.node", *self._node]

    def _heard(self, number: int, frame: Any) -> None:
        self._signal = self._signal or number
        if self._driver is not None and self._driver.poll() is None:
            self._driver.send_signal(signal.SIGTERM if number == signal.SIGINT else number)

    def _wait_for_nodes(self, nodes: subprocess.Popen[bytes], timeout_s: float) -> bool:
        deadline, shown = self._clock.elapsed() + timeout_s, -1
        hosts: tuple[str, ...] = ()
        while self._clock.elapsed() < deadline and not self._told_to_end and nodes.poll() is None:
            joined = self._folder.read_joined()
            hosts = joined.hosts if joined is not None else ()
            if len(hosts) != shown:
                shown = len(hosts)
                _say(f"{shown} of {self._wanted} nodes have joined{': ' + ', '.join(hosts) if hosts else ''}")
            if shown >= self._wanted:
                return True
            if refusals := self._folder.refusals():
                _say(f"a node cannot join. {' '.join(refusals)}")
                return False
            time.sleep(_POLL_S)
        if not self._told_to_end:
            reason = f"within {timeout_s:g} s" if nodes.poll() is None else f"before srun ended ({nodes.returncode})"
            _say(f"only {len(hosts)} of {self._wanted} nodes joined {reason}; see {self._folder.logs}")
        return False

    def _work(self, nodes: subprocess.Popen[bytes]) -> int:
        """Run the command, or stay; the exit code."""
        if not self._command:
            while not self._told_to_end and nodes.poll() is None:
                time.sleep(_POLL_S)
            return 0 if self._told_to_end else LOST
        head = self._folder.read_head()
        assert head is not None
        variables = {**os.environ, "RAY_ADDRESS": head.address, "PYTHONUNBUFFERED": "1"}
        self._folder.authenticate(variables)
        command = self._command
        if self._folder.continued.exists() and command[0] == "extend":
            command = ["resume", command[1]]  # the trials were added by the first start
        # For the driver alone: Ray gives each worker the threads of its cores.
        variables.setdefault("OMP_NUM_THREADS", "1")
        self._driver = subprocess.Popen([*self._program, *command], env=variables)
        if self._signal is not None:
            self._driver.send_signal(signal.SIGTERM)
        code = self._driver.wait()
        # A driver that was told to end before it had a burst to end (Ray was starting) dies in ways of its own.
        return AGAIN if self._signal is not None and code not in (0, 1, 2) else code

    def _stop(self, nodes: subprocess.Popen[bytes]) -> None:
        """End the step by the folder: the nodes clean up after themselves. A signal to srun would kill them at once."""
        self._folder.stop.touch(mode=0o600)
        try:
            nodes.wait(_STOP_NODES_S)
        except subprocess.TimeoutExpired:
            _say(f"the nodes did not end within {_STOP_NODES_S:g} s; their step is killed")
            nodes.terminate()
            nodes.wait()
        for path in (self._folder.head, self._folder.joined):
            path.unlink(missing_ok=True)

    def _conclude(self, code: int, requeues: int, restart: int, joined: bool) -> int:
        """Back into the queue, or the end."""
        losses = self._losses(code)
        again = self._command and (
            (code == AGAIN and self._signal != signal.SIGTERM)
            or (code == LOST and joined and self._signal is None and losses < _LOSSES)
        )
        if again and restart < requeues:
            if code == AGAIN:
                self._folder.continued.touch(mode=0o600)
            _say("the sweep goes on: back into the queue" if code == AGAIN else "the cluster was lost: once more")
            asked = subprocess.run(
                ["scontrol", "requeue", os.environ["SLURM_JOB_ID"]], capture_output=True, text=True, check=False
            )
            # Slurm ends this start to begin the next, and scontrol itself may be the first that it kills.
            if asked.returncode <= 0:
                return 0
            _say(f"Slurm refused to requeue the job ({asked.stderr.strip()}); submit the same command, it goes on")
        write_json(self._folder.result, {"exit_code": code, "starts": restart + 1})
        self._folder.token.unlink(missing_ok=True)
        _say(f"ended with exit code {code}")
        return code

    def _losses(self, code: int) -> int:
        path = self._folder.path / "losses.json"
        losses = (read_json(path) or 0) + 1 if code == LOST else 0
        write_json(path, losses)
        return losses


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} raybayes: {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
