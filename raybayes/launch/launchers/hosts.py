"""A cluster on machines with ssh: `ray up` starts it; raybayes checks the hosts before and ends every node."""

from __future__ import annotations

import json
import os
import platform
import secrets
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

from raybayes.engine.on_ray.ray_internals import RAY_PROGRAM
from raybayes.errors import ClusterError
from raybayes.launch.cluster_paths import ClusterFolder, write_json
from raybayes.launch.config.hosts_file import HostsFile
from raybayes.launch.interface import Say, Status, missing_nodes_error, require_down, require_no_refusals
from raybayes.launch.node import checks, teardown
from raybayes.launch.node.checks import Finding
from raybayes.launch.node.options import PROGRAM, build_parser
from raybayes.launch.transport import run_over_ssh

_POLL_S = 1.0
_SILENT_S = 120.0  # the head writes every few seconds; the clocks of hosts may differ a little


class HostsLauncher:
    """See `raybayes.launch.interface.Launcher`."""

    def __init__(self, spec: HostsFile, file: str) -> None:
        self._spec, self._file = spec, file
        self.folder = ClusterFolder(spec.folder)
        words = spec.start_words("head")
        self._options = build_parser().parse_args(words[words.index("-m") + 2 :])

    def check(self) -> list[Finding]:
        found = [
            *checks.check_commands("ssh", "rsync", why="`ray up` needs it."),
            checks.check_shared_folder(self.folder.path, "--folder", several=True),
        ]
        if all(finding.level != "error" for finding in found):
            self.folder.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            with ThreadPoolExecutor(len(self._spec.hosts)) as pool:
                found += [finding for findings in pool.map(self._check_host, self._spec.hosts) for finding in findings]
        return found

    def _check_host(self, host: str) -> list[Finding]:
        nonce = f".probe-{secrets.token_hex(6)}"
        file = self.folder.path / nonce
        file.touch()
        words = ["-m", f"{PROGRAM}.probe", "--folder", str(self.folder.path), "--nonce", nonce]
        words += ["--scratch", self._options.scratch, "--ports", *map(str, self._options.ports)]
        try:
            report = self._run_python(host, words)
        except ClusterError as error:
            return [Finding("error", str(error))]
        finally:
            file.unlink()
        findings = [Finding(each["level"], f"{host}: {each['text']}") for each in report["findings"]]
        here = {"python": platform.python_version(), "ray": version("ray")}
        differing = [name for name in here if report[name] != here[name]]
        for name in differing:
            text = f"{host}: {name} is {report[name]} there and {here[name]} here; use one environment for all."
            findings.append(Finding("error", text))
        if not differing:
            text = f"{host} ({report['host']}): Python {report['python']}, Ray {report['ray']}"
            findings.append(Finding("ok", text))
        return findings

    def _run_python(self, host: str, arguments: Sequence[str], timeout_s: float = 60.0) -> Any:
        """Run the hosts' interpreter on one of them; the JSON in the last line that it prints."""
        printed = run_over_ssh(self._spec.auth, host, [self._spec.python, *arguments], timeout_s)
        return json.loads(printed.strip().splitlines()[-1])

    def render(self) -> str:
        return f"RAY_UP_enable_autoscaler_v2=0 {shlex.join(self._command())}\n"

    def _command(self) -> list[str]:
        return [sys.executable, *RAY_PROGRAM, "up", "--yes", "--no-config-cache", self._file]

    def up(self, say: Say) -> Status:
        require_down(self.status(), self._spec.name)
        checks.require_no_errors(self.check())
        self.folder.clear_cluster()
        self.folder.create()
        write_json(self.folder.record, {"hosts": self._spec.hosts, "file": str(Path(self._file).absolute())})
        log = self.folder.logs / "ray-up.log"
        # The second autoscaler, Ray's default, starts only some of a fixed set of workers.
        variables = {**os.environ, "RAY_UP_enable_autoscaler_v2": "0", "RAY_USAGE_STATS_ENABLED": "0"}
        with log.open("wb") as out:
            ray_up = subprocess.Popen(self._command(), env=variables, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        say(f"ray up is starting the head on {self._spec.hosts[0]}")
        try:
            return self._wait_for_nodes(ray_up, log, say)
        except (ClusterError, KeyboardInterrupt):
            if ray_up.poll() is None:
                ray_up.terminate()
                ray_up.wait()
            self.down(say)
            raise

    def _wait_for_nodes(self, ray_up: subprocess.Popen[bytes], log: Path, say: Say) -> Status:
        began, shown, limit = time.monotonic(), 0, self._options.join_timeout_s
        while time.monotonic() - began < limit:
            if ray_up.poll() not in (None, 0):
                lines = log.read_text("utf-8", errors="replace").strip().splitlines()
                raise ClusterError(f"ray up failed: {' | '.join(lines[-3:])}; the whole output is in {log}.")
            require_no_refusals(self.folder)
            status = self.status()
            if len(status.hosts) != shown:
                shown = len(status.hosts)
                say(f"{shown} of {status.wanted} nodes have joined: {', '.join(status.hosts)}")
            if status.state == "up" and ray_up.poll() == 0:
                return status
            time.sleep(_POLL_S)
        raise missing_nodes_error(self.folder, self.status().hosts, len(self._spec.hosts), limit)

    def status(self) -> Status:
        wanted = len(self._spec.hosts)
        head, joined = self.folder.read_head(), self.folder.read_joined()
        if head is None or joined is None:
            if self.folder.record.exists():
                return Status("starting", "the head has no address yet", wanted=wanted)
            return Status("down", wanted=wanted)
        silent_s = time.time() - joined.updated
        if silent_s > _SILENT_S:
            return Status("lost", f"the head on {head.host} has reported nothing for {silent_s:.0f} s", wanted=wanted)
        state = "up" if len(joined.hosts) >= wanted else "starting"
        return Status(state, f"head on {head.host}", joined.hosts, wanted, joined.cpus, joined.gpus, head)

    def down(self, say: Say) -> list[str]:
        """End the nodes on every host; `ray down` would end only the head. The head is first: it restarts workers."""
        self.folder.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder.stop.touch(mode=0o600)
        left = []
        for host in self._spec.hosts:
            say(f"ending Ray on {host}")
            words = ["-m", PROGRAM, "--end", "--folder", str(self.folder.path)]
            try:
                report = self._run_python(host, words, timeout_s=90)
                left += [f"{host}: process {pid}" for pid in report["left"]]
            except ClusterError as error:
                left.append(str(error))
        self.folder.clear_cluster()
        teardown.remove_ray_up_files(self._spec.name)
        return left
