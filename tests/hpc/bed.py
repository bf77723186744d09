"""The handle that tests have on the rack: run a command on a host, look for what was left there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from rack import UID

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
NEEDED = ("slurmctld", "slurmd", "munged", "mungekey", "sshd", "ip", "nsenter", "unshare", "ssh", "rsync")


class Rack:
    """Start the rack; `close` ends every process in it, whatever has happened."""

    def __init__(self) -> None:
        search = f"{os.environ['PATH']}:/usr/sbin:/sbin"
        missing = [name for name in NEEDED if shutil.which(name, path=search) is None]
        if os.geteuid() != 0 or missing:
            pytest.fail(f"the hpc tests need root and these programs: {', '.join(missing)}; run make test-hpc")
        self.folder = Path(tempfile.mkdtemp(prefix="rack-"))
        new = ["unshare", "--net", "--mount", "--pid", "--uts", "--ipc", "--fork", "--mount-proc", "--kill-child"]
        environment = {**os.environ, "PATH": search, "PYTHONPATH": str(ROOT)}
        for name in ("RAY_ADDRESS", "RAYBAYES_STORAGE", "RAYBAYES_DATA", "OMP_NUM_THREADS"):
            environment.pop(name, None)
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *new, sys.executable, str(HERE / "rack.py"), "login", str(self.folder)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True,
        )  # fmt: skip
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            raise RuntimeError(f"the rack did not start; see {self.folder}")
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        self._login = children[0]
        self._hosts = json.loads(line)["hosts"]

    def enter(self, host: str = "login", cwd: Path | None = None, user: str = "root") -> list[str]:
        """The words that put a command of a user on a host."""
        words = ["nsenter", "-t", self._login, "-a"]
        if host != "login":
            words += ["nsenter", "-t", str(self._hosts[host]), "-a"]
        home = "/mnt/home" if user == "root" else f"/mnt/{user}"
        if user != "root":
            words += ["setpriv", "--reuid", user, "--regid", str(UID), "--clear-groups", "--inh-caps=-all"]
        variables = [f"HOME={home}", f"USER={user}", f"SLURM_CONF={self.folder}/slurm.conf", f"PYTHONPATH={ROOT}"]
        variables += [f"PATH={os.environ['PATH']}:/usr/sbin:/sbin", "PYTHONDONTWRITEBYTECODE=1"]
        return [*words, "env", "-C", str(cwd or self.folder), "-u", "RAYBAYES_DATA", "-u", "RAY_ADDRESS", *variables]

    def run(
        self,
        *command: str,
        host: str = "login",
        cwd: Path | None = None,
        user: str = "root",
        timeout: float = 240,
        code: int | None = 0,
    ):
        """A command on a host; its exit code must be `code`."""
        inside = [*self.enter(host, cwd, user), *map(str, command)]
        ran = subprocess.run(inside, capture_output=True, text=True, timeout=timeout, check=False)
        said = f"{' '.join(map(str, command))}: exit code {ran.returncode}\n{ran.stdout}\n{ran.stderr}"
        assert code is None or ran.returncode == code, said
        return ran

    def start(self, *command: str, host: str = "login", cwd: Path | None = None) -> subprocess.Popen[str]:
        """A command on a host that goes on beside the test."""
        inside = [*self.enter(host, cwd), *map(str, command)]
        return subprocess.Popen(inside, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def raybayes(self, *arguments: object, **options):
        """The program under test, on the login node."""
        return self.run(sys.executable, "-m", "raybayes", *map(str, arguments), **options)

    def hosts_with(self, user: str, program: str) -> set[str]:
        """Hosts on which a user's process of that name runs."""
        asked = {host: self.run("pgrep", "-u", user, program, host=host, code=None) for host in self._hosts}
        return {host for host, answer in asked.items() if answer.returncode == 0}

    def remains(self) -> dict[str, list[str]]:
        """Per host: Ray's processes, ours, listening ports beyond sshd and Slurm, folders in /mnt."""
        found = {}
        for host in ("login", *self._hosts):
            lines = self.run("ps", "-eo", "pid=,args=", host=host).stdout.splitlines()
            words = ("ray::", "raylet", "gcs_server", "ray.scripts", "raybayes.launch", "ray/dashboard", "-m raybayes")
            left = [line.strip() for line in lines if any(word in line for word in words) and " ps -eo" not in line]
            if host != "login":  # the login node sees the processes of all hosts
                sockets = self.run("ss", "-Hltn", host=host).stdout.splitlines()
                ports = {line.split()[3].rpartition(":")[2] for line in sockets}
                left += [f"port {port}" for port in sorted(ports - {"22", "6818"})]
            left += [name for name in self.run("ls", "/mnt", host=host).stdout.split() if name.startswith("rb")]
            if left:
                found[host] = left
        return found

    def close(self) -> None:
        """End it. Process 1 of the rack takes all others with it."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
