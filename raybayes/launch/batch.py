"""The program of a Slurm job on its first node: starts Ray, runs one command, ends or requeues the job.

At the wall-time signal (USR1) the running trials write checkpoints, the command exits with code 75, and the job asks
Slurm to requeue it; the next start resumes the same sweep. TERM (`raybayes jobs stop`, `scancel --batch`) ends the
sweep in the same way, but the job is not requeued. Scripts of jobs in the queue name this module, so its name stays.
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
from raybayes.launch.node.options import PROGRAM

OUT_OF_TIME = OutOfTime.exit_code
CLUSTER_LOST = ClusterError.exit_code
_MAX_LOSSES = 3  # times in a row that the cluster may be lost before the job gives up
_POLL_S = 0.5
_STOP_NODES_S = 60.0


def main(arguments: Sequence[str]) -> int:
    """Run the batch program; its exit code is the job's."""
    parser = argparse.ArgumentParser(prog="raybayes.launch.batch", description=__doc__)
    parser.add_argument("--folder", required=True)
    parser.add_argument("--node", required=True, help="options of the node program, as one quoted text")
    parser.add_argument("--requeues", type=int, default=100)
    parser.add_argument("--join-timeout-s", type=float, default=300)
    parser.add_argument("command", nargs="*")
    options = parser.parse_args(arguments)
    os.umask(0o077)
    start = BatchStart(ClusterFolder(Path(options.folder)), shlex.split(options.node), options.command)
    return start.run(options.join_timeout_s, options.requeues)


class BatchStart:
    """One start of the job; a requeued job has several.

    Args:
        folder: the job's folder.
        node: options of the node program.
        command: arguments of raybayes; none: keep the cluster until it is stopped.
        program: runs the command.
        clock: measures how long the nodes take to join.
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
        self._wanted = int(os.environ.get("SLURM_NTASKS", "1"))
        self._driver: subprocess.Popen[bytes] | None = None
        self._signal: int | None = None

    def run(self, join_timeout_s: float, requeues: int) -> int:
        """Start the nodes, run the command, stop the nodes, and requeue the job or write its result.

        Args:
            join_timeout_s: seconds within which all nodes must join.
            requeues: largest number of returns to the queue.

        Returns:
            The exit code of the job.
        """
        for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        restart = int(os.environ.get("SLURM_RESTART_COUNT", "0"))
        job, hosts = (os.environ.get(name, "?") for name in ("SLURM_JOB_ID", "SLURM_JOB_NODELIST"))
        _say(f"start {restart + 1} of job {job} on {hosts}")
        self._folder.clear_start()
        began = self._clock.elapsed()
        nodes = subprocess.Popen(self._srun_command(), stdin=subprocess.DEVNULL)
        try:
            joined = self._wait_for_nodes(nodes, join_timeout_s)
            if joined:
                _say(f"all {self._wanted} nodes have joined after {self._clock.elapsed() - began:.1f} s")
            code = self._run_command(nodes) if joined else self._code_without_nodes()
        finally:
            self._stop_nodes(nodes)
        return self._requeue_or_finish(code, requeues, restart, joined)

    @property
    def _stop_requested(self) -> bool:
        return self._signal is not None or self._folder.stop.exists()

    def _code_without_nodes(self) -> int:
        if not self._stop_requested:
            return CLUSTER_LOST
        return OUT_OF_TIME if self._command else 0

    def _srun_command(self) -> list[str]:
        cpus = os.environ.get("SLURM_CPUS_PER_TASK")  # srun no longer takes this over from the job by itself
        bound = [f"--cpus-per-task={cpus}"] if cpus else []
        options = ["srun", f"--ntasks={self._wanted}", *bound, "--kill-on-bad-exit=0", "--wait=0"]
        return [*options, sys.executable, "-m", PROGRAM, *self._node]

    def _on_signal(self, number: int, frame: Any) -> None:
        self._signal = self._signal or number
        if self._driver is not None and self._driver.poll() is None:
            self._driver.send_signal(signal.SIGTERM if number == signal.SIGINT else number)

    def _wait_for_nodes(self, nodes: subprocess.Popen[bytes], timeout_s: float) -> bool:
        """Whether all nodes have joined within the time."""
        deadline, shown = self._clock.elapsed() + timeout_s, -1
        hosts: tuple[str, ...] = ()
        while self._clock.elapsed() < deadline and not self._stop_requested and nodes.poll() is None:
            joined = self._folder.read_joined()
            hosts = joined.hosts if joined is not None else ()
            if len(hosts) != shown:
                shown = len(hosts)
                _say(f"{shown} of {self._wanted} nodes have joined{': ' + ', '.join(hosts) if hosts else ''}")
            if shown >= self._wanted:
                return True
            if refusals := self._folder.read_refusals():
                _say(f"a node cannot join. {' '.join(refusals)}")
                return False
            time.sleep(_POLL_S)
        if not self._stop_requested:
            reason = f"within {timeout_s:g} s" if nodes.poll() is None else f"before srun ended ({nodes.returncode})"
            _say(f"only {len(hosts)} of {self._wanted} nodes joined {reason}; see {self._folder.logs}")
        return False

    def _run_command(self, nodes: subprocess.Popen[bytes]) -> int:
        """Run the command or, without one, wait until the cluster is stopped; the exit code."""
        if not self._command:
            while not self._stop_requested and nodes.poll() is None:
                time.sleep(_POLL_S)
            return 0 if self._stop_requested else CLUSTER_LOST
        head = self._folder.read_head()
        assert head is not None
        variables = {**os.environ, "RAY_ADDRESS": head.address, "PYTHONUNBUFFERED": "1"}
        self._folder.set_token_variables(variables)
        command = self._command
        if self._folder.continued.exists() and command[0] == "extend":
            command = ["resume", command[1]]  # the trials were added by the first start
        # For the driver alone: Ray gives each worker the threads of its cores.
        variables.setdefault("OMP_NUM_THREADS", "1")
        self._driver = subprocess.Popen([*self._program, *command], env=variables)
        if self._signal is not None:
            self._driver.send_signal(signal.SIGTERM)
        code = self._driver.wait()
        # A driver that is stopped while Ray still starts has no sweep to pause, and exits with some other code.
        return OUT_OF_TIME if self._signal is not None and code not in (0, 1, 2) else code

    def _stop_nodes(self, nodes: subprocess.Popen[bytes]) -> None:
        """End the job step through the folder, so that the nodes clean up: a signal to srun would kill them at once."""
        self._folder.stop.touch(mode=0o600)
        try:
            nodes.wait(_STOP_NODES_S)
        except subprocess.TimeoutExpired:
            _say(f"the nodes did not end within {_STOP_NODES_S:g} s; killing their job step")
            nodes.terminate()
            nodes.wait()
        for path in (self._folder.head, self._folder.joined):
            path.unlink(missing_ok=True)

    def _requeue_or_finish(self, code: int, requeues: int, restart: int, joined: bool) -> int:
        losses = self._count_losses(code)
        out_of_time = code == OUT_OF_TIME and self._signal != signal.SIGTERM
        lost = code == CLUSTER_LOST and joined and self._signal is None and losses < _MAX_LOSSES
        if self._command and (out_of_time or lost) and restart < requeues and self._requeue(code):
            return 0
        write_json(self._folder.result, {"exit_code": code, "starts": restart + 1})
        self._folder.token.unlink(missing_ok=True)
        _say(f"ended with exit code {code}")
        return code

    def _requeue(self, code: int) -> bool:
        """Ask Slurm to requeue the job. Returns whether Slurm accepted."""
        if code == OUT_OF_TIME:
            self._folder.continued.touch(mode=0o600)
            _say("the sweep is not finished: requeueing the job")
        else:
            _say("the cluster was lost: requeueing the job")
        command = ["scontrol", "requeue", os.environ["SLURM_JOB_ID"]]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        # Slurm ends this start to begin the next, and may kill scontrol first: a negative code is no refusal.
        if ran.returncode <= 0:
            return True
        _say(f"Slurm refused to requeue the job ({ran.stderr.strip()}); submit the same command again to resume")
        return False

    def _count_losses(self, code: int) -> int:
        """Count how many times in a row the cluster was lost, this start included."""
        losses = (read_json(self._folder.losses) or 0) + 1 if code == CLUSTER_LOST else 0
        write_json(self._folder.losses, losses)
        return losses


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} raybayes: {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
