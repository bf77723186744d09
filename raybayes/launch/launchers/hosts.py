"""A cluster on machines with ssh: `ray up` does the starting, the checks before and the clean end are ours."""

from __future__ import annotations

import json
import os
import platform
import secrets
import shlex
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

from raybayes.errors import ClusterError
from raybayes.launch import transport
from raybayes.launch.cluster_paths import ClusterFolder, write_json
from raybayes.launch.config.hosts_file import HostsFile
from raybayes.launch.interface import Say, Status, missing_nodes, raise_refusals, refuse_second
from raybayes.launch.node import checks, supervisor, teardown
from raybayes.launch.node.checks import Finding

_POLL_S = 1.0
_SILENT_S = 120.0  # the head writes every few seconds; clocks of hosts may differ by some


class HostsLauncher:
    """See `raybayes.launch.interface.Launcher`."""

    def __init__(self, spec: HostsFile, file: str) -> None:
        self._spec, self._file = spec, file
        self.folder = ClusterFolder(spec.folder)
        words = spec.start_line("head")
        self._options = supervisor.parser().parse_args(words[words.index("-m") + 2 :])

    def check(self) -> list[Finding]:
        found = [
            *checks.commands("ssh", "rsync", why="`ray up` needs it."),
            checks.shared_folder(self.folder.path, "--folder", several=True),
        ]
        if all(finding.level != "error" for finding in found):
            self.folder.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            with ThreadPoolExecutor(len(self._spec.hosts)) as pool:
                found += [finding for findings in pool.map(self._probe, self._spec.hosts) for finding in findings]
        return found

    def _probe(self, host: str) -> list[Finding]:
        nonce = f".probe-{secrets.token_hex(6)}"
        seen = self.folder.path / nonce
        seen.touch()
        words = [
            self._spec.python,
            "-m",
            "raybayes.launch.node.probe",
            "--folder",
            str(self.folder.path),
            "--nonce",
            nonce,
        ]
        words += ["--scratch", self._options.scratch, "--ports", *map(str, self._options.ports)]
        try:
            said = json.loads(transport.ask(self._spec.auth, host, words).strip().splitlines()[-1])
        except ClusterError as error:
            return [Finding("error", str(error))]
        finally:
            seen.unlink()
        findings = [Finding(each["level"], f"{host}: {each['text']}") for each in said["findings"]]
        here = {"python": platform.python_version(), "ray": version("ray")}
        differing = [name for name in here if said[name] != here[name]]
        findings += [
            Finding(
                "error", f"{host}: {name} is {said[name]} there and {here[name]} here; use one environment for all."
            )
            for name in differing
        ]
        if not differing:
            findings.append(Finding("ok", f"{host} ({said['host']}): Python {said['python']}, Ray {said['ray']}"))
        return findings

    def render(self) -> str:
        return f"RAY_UP_enable_autoscaler_v2=0 {shlex.join(self._command())}\n"

    def _command(self) -> list[str]:
        return [sys.executable, "-m", "ray.scripts.scripts", "up", "--yes", "--no-config-cache", self._file]

    def up(self, say: Say) -> Status:
        refuse_second(self.status(), self._spec.name)
        checks.raise_errors(self.check())
        self.folder.forget()
        self.folder.create()
        write_json(self.folder.record, {"hosts": self._spec.hosts, "file": str(Path(self._file).absolute())})
        log = self.folder.logs / "ray-up.log"
        # The second autoscaler, Ray's default, starts only some of a fixed set of workers.
        variables = {**os.environ, "RAY_UP_enable_autoscaler_v2": "0", "RAY_USAGE_STATS_ENABLED": "0"}
        with log.open("wb") as out:
            ray_up = subprocess.Popen(self._command(), env=variables, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        say(f"ray up starts the head on {self._spec.hosts[0]}")
        try:
            return self._wait(ray_up, log, say)
        except (ClusterError, KeyboardInterrupt):
            if ray_up.poll() is None:
                ray_up.terminate()
                ray_up.wait()
            self.down(say)
            raise

    def _wait(self, ray_up: subprocess.Popen[bytes], log: Path, say: Say) -> Status:
        began, shown, limit = time.monotonic(), 0, self._options.join_timeout_s
        while time.monotonic() - began < limit:
            if ray_up.poll() not in (None, 0):
                lines = log.read_text("utf-8", errors="replace").strip().splitlines()
                raise ClusterError(f"ray up failed: {' | '.join(lines[-3:])}; all of it is in {log}.")
            raise_refusals(self.folder)
            status = self.status()
            if len(status.hosts) != shown:
                shown = len(status.hosts)
                say(f"{shown} of {status.wanted} nodes have joined: {', '.join(status.hosts)}")
            if status.state == "up" and ray_up.poll() == 0:
                return status
            time.sleep(_POLL_S)
        raise missing_nodes(self.folder, self.status().hosts, len(self._spec.hosts), limit)

    def status(self) -> Status:
        wanted = len(self._spec.hosts)
        head, joined = self.folder.read_head(), self.folder.read_joined()
        if head is None or joined is None:
            state = "starting" if self.folder.record.exists() else "down"
            return Status(state, "the head has no address yet" if state == "starting" else "", wanted=wanted)
        silent = time.time() - joined.updated
        if silent > _SILENT_S:
            return Status("lost", f"the head on {head.host} has said nothing for {silent:.0f} s", wanted=wanted)
        state = "up" if len(joined.hosts) >= wanted else "starting"
        return Status(state, f"head on {head.host}", joined.hosts, wanted, joined.cpus, joined.gpus, head)

    def down(self, say: Say) -> list[str]:
        """`ray down` would end the head alone. Every host ends its own node, the head first: it restarts workers."""
        self.folder.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder.stop.touch(mode=0o600)
        left = []
        for host in self._spec.hosts:
            say(f"ending Ray on {host}")
            words = [self._spec.python, "-m", "raybayes.launch.node", "--end", "--folder", str(self.folder.path)]
            try:
                said = json.loads(transport.ask(self._spec.auth, host, words, timeout_s=90).strip().splitlines()[-1])
                left += [f"{host}: process {pid}" for pid in said["left"]]
            except ClusterError as error:
                left.append(str(error))
        self.folder.forget()
        teardown.forget_ray_up(self._spec.name)
        return left
